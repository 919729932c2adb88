//! The one integration test binary: linking once is the time it takes to run most tests.

#![allow(clippy::panic, reason = "tests fail by panicking")]

mod support;

mod case;
mod cluster;
mod serve;

mod api_server;
mod architecture;
mod change;
mod cluster_source;
mod cluster_status;
mod codes;
mod commands;
mod explain;
mod follow;
mod golden;
mod laws;
mod lint;
mod live;
mod log;
mod operator;
mod refused;
mod rows;
mod run;
