//! Vigie, an ingress operator for Kubernetes.

// The pure half: no clock, no disk, no network, no client.
pub mod model;
pub mod plan;
pub mod render;
pub mod snapshot;
pub mod translate;

// The shell: talks to the world, decides nothing.
pub mod agent;
