//! Where objects come from: a cluster's API, or a folder of manifests. Talks to the world and decides nothing: it reads
//! objects as the API server would and hands over a frozen snapshot. It must never know a renderer.

pub mod cluster;
pub mod folder;
pub mod stand_in;
