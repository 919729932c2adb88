//! Vigie, an ingress operator for Kubernetes: it reads Ingresses, renders configuration for a stock
//! nginx or HAProxy, has an agent beside the proxy load it, and says of every route whether it works
//! and, where it does not, why.
//!
//! # How data flows
//!
//! ```text
//!  source ─► snapshot ─► translate ─► model ─► render ─► bundle ─► agent ─► proxy
//! (cluster,  frozen      one pass,    hosts,   askama    files,    plan,
//! folder)    objects     findings     routes,  templates endpoints check,
//!                        beside       upstreams          apart     load, prove
//! ```
//!
//! On one machine (`standalone`) that is one process. In a cluster it is cut in two: a controller
//! (`operator`) writes bundles down as ConfigMaps and Secrets of its own namespace, and an agent beside
//! each proxy reads nothing else. What agents report comes back as status:
//!
//! ```text
//!  bundle ─► operator::publish ─► ConfigMaps ─► agent::follow ─► agent ─► proxy
//!                                 and Secrets                      │
//!  status ◄─ operator::status ◄─ conditions ◄─ operator::proxies ◄─ agent::report
//! ```
//!
//! Each step is a room, a module of that name; data walks in one direction. The pure half, from
//! `snapshot` to `explain`, has no clock, no disk, no network and no client (clippy.toml lists what
//! it may not call), so equal input gives equal bytes. The shell talks to the world and decides
//! nothing.
//!
//! # Invariants
//!
//! 1. Equal input, equal bytes: ordered maps, explicit tie-breaks (older first, then namespace and
//!    name). The input is the snapshot and three explicit extras in `translate::Options`: what earlier
//!    builds left to know (`Memory`), today's date, and what the proxy can do (`render::Capabilities`).
//!    Work is kept from one round to the next (`source::folder::Folder::reread`, `translate::Memo`)
//!    where laws hold the result equal to that of a round from nothing.
//! 2. The core cannot fail. A user's mistake is a finding with an origin (`model::diagnostics`), and
//!    its blast radius is that object: a broken object changes no byte of what others get.
//! 3. Raw strings become newtypes (`model::names`) at the door; templates only print; escapers fail
//!    closed. No input changes the parse tree of what is rendered.
//! 4. What lies on the agent's disk is always the whole truth: a proxy restarted at any moment comes
//!    up with it. What is changed in the running proxy is in the files first.
//! 5. A refused configuration is never loaded; the running one stays. The object that the proxy's words
//!    lead to is set aside (`translate::Quarantine`), and everyone else's change goes through.
//! 6. What guards access and cannot be honoured closes its route with 503.
//! 7. Private keys live in `model::PrivatePem`, in Secrets and in files that only the proxy reads: never
//!    in ConfigMaps, logs, debug output or status.
//! 8. A bundle comes out of the cluster as it went in, or not at all (`render::wire`); one more host
//!    rewrites a few small objects, and an endpoint one.
//! 9. Of a cluster nothing is built before every required watch has delivered its first list: what is
//!    built of half the objects takes routes away. Watches that are not required degrade to a named
//!    state, and a watch that fails later takes nothing away.
//! 10. One writer for each outside thing, and only the process that leads; what stands is compared
//!     before it is written, so a steady cluster writes nothing but Leases.
//!
//! # Words
//!
//! *Source*: where objects come from. *Snapshot*: frozen objects of one moment. *Model*: the meaning,
//! without any proxy. *Listener*, *host*, *route*, *match*, *upstream*, *endpoint*, *certificate*:
//! what the model is made of. *Backend*: the reference that a user wrote. *Origin*: the object and
//! field something comes from. *Finding* (`Diagnostic`): what is wrong, where, and how to mend it.
//! *Conflict*: two objects claim one host and path; the oldest has it. *Bundle*: what one proxy gets.
//! *Revision*: the digest that names its structure. *Shard*: an object of the cluster that holds a part
//! of a bundle's structure; the *index* names them all. *Load*: the agent takes a bundle into the proxy, by
//! *live update* or by *reload*. *Holds*: of all RouteHealths that are about a route, one holds it and
//! speaks for it. *Stage*: what a request has to pass; the first that is False is what is wrong.

// The pure half.
pub mod api;
pub mod snapshot;
pub mod model;
pub mod translate;
pub mod render;
pub mod plan;
pub mod diagnose;
pub mod conditions;
pub mod explain;

// The shell.
pub mod source;
pub mod operator;
pub mod agent;
pub mod standalone;
pub mod server;
pub mod moment;
pub mod watching;
pub mod self_signed;
pub mod telemetry;
pub mod cli;
