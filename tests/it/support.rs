//! What live tests stand on: a backend that echoes, clients that control every byte, and the
//! checker of the expectations in `tests/cases`.
//!
//! Nothing in here knows how a proxy is started or configured. It is given addresses.

pub mod client;
#[path = "../backend/echo.rs"]
pub mod echo;

pub mod expect;
mod tests;
