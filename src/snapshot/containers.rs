//! What the containers of a pod are, as far as it bears on requests: ports, probes, and how they stop.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{self as core, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Seconds that a kubelet takes to notice and to stop a container, beside a probe's own time.
const SLACK: u32 = 35;

/// What the pods of one revision have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Those that run beside each other and those that run before, in their order.
    pub containers: Vec<Container>,
    /// Conditions that others must set before the pod counts as ready.
    pub gates: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    /// Below the pod's spec, as `containers[0]`.
    pub field: String,
    pub image: String,
    pub role: Role,
    pub ports: Vec<ContainerPort>,
    pub readiness: Option<Probe>,
    pub liveness: Option<Probe>,
    pub startup: Option<Probe>,
    pub has_pre_stop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Main,
    /// Started before the main ones, and stays.
    Sidecar,
    /// Ends before the main ones start.
    Init,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    pub number: i32,
    pub name: Option<String>,
    pub is_tcp: bool,
}

/// A probe of the kubelet, in seconds and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub action: Action,
    pub initial_delay: u32,
    pub period: u32,
    pub timeout: u32,
    pub failure_threshold: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Http {
        port: Port,
        path: String,
        is_https: bool,
    },
    Tcp {
        port: Port,
    },
    Grpc {
        port: Port,
        service: String,
    },
    Exec,
}

/// A port of a container, by number or by its name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    Number(i32),
    Name(String),
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl From<&IntOrString> for Port {
    fn from(port: &IntOrString) -> Self {
        match port {
            IntOrString::Int(number) => Self::Number(*number),
            IntOrString::String(name) => match name.parse() {
                Ok(number) => Self::Number(number),
                Err(_) => Self::Name(name.clone()),
            },
        }
    }
}

impl Shape {
    pub fn of(spec: &PodSpec) -> Self {
        let main = spec.containers.iter().enumerate();
        let main = main.map(|(at, c)| Container::of(c, format!("containers[{at}]"), Role::Main));
        let before = spec.init_containers.iter().flatten().enumerate();
        let before = before.map(|(at, c)| {
            let role = match c.restart_policy.as_deref() {
                Some("Always") => Role::Sidecar,
                _ => Role::Init,
            };
            Container::of(c, format!("initContainers[{at}]"), role)
        });
        let gates = spec.readiness_gates.iter().flatten();
        Self {
            containers: main.chain(before).collect(),
            gates: gates.map(|gate| gate.condition_type.clone()).collect(),
        }
    }

    /// Those that can answer requests.
    pub fn serving(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|c| c.role != Role::Init)
    }

    /// The number of a port that a Service names, as the API server finds it for endpoints: the first TCP
    /// port of that name.
    pub fn port_named(&self, name: &str) -> Option<i32> {
        let ports = self.serving().flat_map(|container| &container.ports);
        let mut named = ports.filter(|port| port.is_tcp && port.name.as_deref() == Some(name));
        named.next().map(|port| port.number)
    }
}

impl Container {
    fn of(container: &core::Container, field: String, role: Role) -> Self {
        let probe = |probe: &Option<core::Probe>| probe.as_ref().and_then(Probe::of);
        let lifecycle = container.lifecycle.as_ref();
        let ports = container.ports.iter().flatten();
        Self {
            name: container.name.clone(),
            field,
            image: container.image.clone().unwrap_or_default(),
            role,
            ports: ports.map(ContainerPort::of).collect(),
            readiness: probe(&container.readiness_probe),
            liveness: probe(&container.liveness_probe),
            startup: probe(&container.startup_probe),
            has_pre_stop: lifecycle.is_some_and(|lifecycle| lifecycle.pre_stop.is_some()),
        }
    }

    pub fn declares(&self, number: i32) -> bool {
        let mut ports = self.ports.iter();
        ports.any(|port| port.is_tcp && port.number == number)
    }

    /// The number of a port of its own.
    pub fn number(&self, port: &Port) -> Option<i32> {
        match port {
            Port::Number(number) => Some(*number),
            Port::Name(name) => {
                let mut named = self.ports.iter();
                let named = named.find(|port| port.name.as_deref() == Some(name));
                named.map(|port| port.number)
            }
        }
    }
}

impl ContainerPort {
    fn of(port: &core::ContainerPort) -> Self {
        Self {
            number: port.container_port,
            name: port.name.clone(),
            is_tcp: port.protocol.as_deref().is_none_or(|p| p == "TCP"),
        }
    }
}

impl Probe {
    /// With the defaults of the API where a manifest has none; None of one without any action.
    fn of(probe: &core::Probe) -> Option<Self> {
        let seconds = |value: Option<i32>, usual: u32| {
            let given = value.and_then(|value| u32::try_from(value).ok());
            given.filter(|value| *value > 0).unwrap_or(usual)
        };
        Some(Self {
            action: Action::of(probe)?,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            failure_threshold: seconds(probe.failure_threshold, 3),
        })
    }

    /// Seconds from the start of a container until the kubelet gives it up for this probe.
    pub fn patience(&self) -> u32 {
        let tries = self.period.saturating_mul(self.failure_threshold);
        self.initial_delay.saturating_add(tries)
    }

    /// Whether a container that ended so many seconds after its start was ended for this probe.
    pub fn gives_up_after(&self, seconds: u32) -> bool {
        let patience = self.patience();
        // The first try may come right at the start, and one period less is waited for.
        let earliest = patience.saturating_sub(self.period);
        let latest = patience.saturating_add(self.period).saturating_add(SLACK);
        (earliest..=latest).contains(&seconds)
    }

    pub fn port(&self) -> Option<&Port> {
        match &self.action {
            Action::Http { port, .. } | Action::Tcp { port } | Action::Grpc { port, .. } => {
                Some(port)
            }
            Action::Exec => None,
        }
    }
}

impl Action {
    fn of(probe: &core::Probe) -> Option<Self> {
        if let Some(http) = &probe.http_get {
            let path = http.path.clone().filter(|path| !path.is_empty());
            return Some(Self::Http {
                port: (&http.port).into(),
                path: path.unwrap_or_else(|| "/".to_owned()),
                is_https: http.scheme.as_deref() == Some("HTTPS"),
            });
        }
        if let Some(tcp) = &probe.tcp_socket {
            let port = (&tcp.port).into();
            return Some(Self::Tcp { port });
        }
        if let Some(grpc) = &probe.grpc {
            return Some(Self::Grpc {
                port: Port::Number(grpc.port),
                service: grpc.service.clone().unwrap_or_default(),
            });
        }
        probe.exec.as_ref().map(|_| Self::Exec)
    }
}

/// As a user would say it: `GET :8000/health`.
impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http {
                port,
                path,
                is_https,
            } => {
                let scheme = if *is_https { "https " } else { "" };
                write!(f, "GET {scheme}:{port}{path}")
            }
            Self::Tcp { port } => write!(f, "TCP :{port}"),
            Self::Grpc { port, service } if service.is_empty() => write!(f, "gRPC :{port}"),
            Self::Grpc { port, service } => write!(f, "gRPC :{port} {service}"),
            Self::Exec => f.write_str("command"),
        }
    }
}

/// Labels, of a pod or of what makes one.
pub type Labels = BTreeMap<String, String>;
