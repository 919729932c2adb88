//! 4xx and 9xx: the pods behind a Service, and what makes them. `consequence` is empty where some
//! endpoints answer all the same.

use super::{Code, Diagnostic, Origin, Severity};

/// How many pods, of how many: `2 of 3 pods`.
pub struct Share {
    pub pods: usize,
    pub of: usize,
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pods, self.of) {
            (1, 1) => f.write_str("the only pod"),
            (pods, of) if pods == of => write!(f, "all {of} pods"),
            (pods, of) => write!(f, "{pods} of {of} pods"),
        }
    }
}

/// A finding that is an error while clients feel it, and a warning while they do not.
fn felt(code: Code, origin: Origin, message: String, consequence: &str, fix: &str) -> Diagnostic {
    let finding = Diagnostic::new(code, origin, format!("{message}{consequence}"), fix);
    match consequence {
        "" => finding.with_severity(Severity::Warning),
        _ => finding,
    }
}

/// `near` is what may have been meant, as `Deployment shop/api has app=api`.
pub fn selector_matches_none(origin: Origin, selector: &str, near: Option<&str>) -> Diagnostic {
    let near = near.map(|near| format!("; {near}")).unwrap_or_default();
    let near = near.as_str();
    Diagnostic::new(
        Code::RH401,
        origin,
        format!("Selector {selector} matches no pod{near}. The route answers 503."),
        match near {
            "" => {
                "Align the Service's selector and the labels of the pods, or see whether what makes such pods is there and is not scaled to 0."
            }
            _ => {
                "Align the Service's selector and the labels of the pods (spec.template.metadata.labels of what makes them)."
            }
        },
    )
}

pub fn scaled_to_zero(origin: Origin) -> Diagnostic {
    let message = format!("{} has replicas 0. The route answers 503.", origin.object);
    Diagnostic::new(
        Code::RH402,
        origin,
        message,
        "Scale it up, or remove the route while it is not wanted.",
    )
}

/// What would make pods has made none.
pub fn none_made(origin: Origin, replicas: Option<i32>) -> Diagnostic {
    let wants = match replicas {
        Some(1) => "asks for 1 replica".to_owned(),
        Some(replicas) => format!("asks for {replicas} replicas"),
        None => "asks for a pod on each node that fits".to_owned(),
    };
    let message = format!(
        "{} {wants}, and there is no pod. The route answers 503.",
        origin.object
    );
    Diagnostic::new(
        Code::RH403,
        origin,
        message,
        "See its conditions and events: a quota, an admission policy or a missing service account may refuse its pods.",
    )
}

pub fn unscheduled(
    origin: Origin,
    share: &Share,
    why: &str,
    pod: &str,
    consequence: &str,
) -> Diagnostic {
    let message = format!("{} to be scheduled: {why}.", waiting(share));
    let fix = format!("See `kubectl describe pod {pod}`.");
    felt(Code::RH403, origin, message, consequence, &fix)
}

/// A container that runs before the others has not ended yet.
pub fn initialising(
    origin: Origin,
    share: &Share,
    container: &str,
    pod: &str,
    consequence: &str,
) -> Diagnostic {
    let message = format!("{} for init container {container} to end.", waiting(share));
    let fix = format!("See what it waits for: `kubectl logs {pod} -c {container}`.");
    felt(Code::RH403, origin, message, consequence, &fix)
}

/// Volumes, sandboxes, images that are being pulled.
pub fn being_made(origin: Origin, share: &Share, pod: &str, consequence: &str) -> Diagnostic {
    let message = format!("{} for containers to be made.", waiting(share));
    let fix =
        format!("Wait; if it lasts, see `kubectl describe pod {pod}`: a volume may be missing.");
    felt(Code::RH403, origin, message, consequence, &fix)
}

fn waiting(share: &Share) -> String {
    match (share.pods, share.of) {
        (1, 1) => "The only pod waits".to_owned(),
        (1, of) => format!("1 of {of} pods waits"),
        (pods, of) if pods == of => format!("All {of} pods wait"),
        (pods, of) => format!("{pods} of {of} pods wait"),
    }
}

/// Of a container that has never run.
pub const NO_START: &str = "its command cannot be started";

/// `ended` as `exit code 1`, or `OOMKilled`.
pub fn crash_looping(
    origin: Origin,
    container: &str,
    restarts: u32,
    ended: &str,
    pod: &str,
    consequence: &str,
) -> Diagnostic {
    let times = match restarts {
        0 => "has ended".to_owned(),
        1 => "was restarted; it has last ended".to_owned(),
        2.. => format!("was restarted {restarts} times or more; it has last ended"),
    };
    let message = format!("Container {container} {times} with {ended}.");
    let fix = match ended {
        "OOMKilled" => "Raise its memory limit, or let it use less.".to_owned(),
        ended if ended.contains(NO_START) => {
            format!("Correct its command or its image; see `kubectl describe pod {pod}`.")
        }
        _ if restarts == 0 => format!("See `kubectl logs {pod} -c {container}`."),
        _ => format!("See `kubectl logs {pod} -c {container} --previous`."),
    };
    felt(Code::RH404, origin, message, consequence, &fix)
}

pub fn image_pull_failing(
    origin: Origin,
    container: &str,
    reason: &str,
    image: &str,
    consequence: &str,
) -> Diagnostic {
    let message = format!("Container {container}: {reason}, image {image}.");
    let fix = "Correct the image or the pull secret.";
    felt(Code::RH405, origin, message, consequence, fix)
}

/// `probe` as `GET :8080/health`; None of a pod that is not ready for no reason of its containers.
pub fn readiness_failing(
    origin: Origin,
    probe: &str,
    container: &str,
    share: &Share,
    consequence: &str,
) -> Diagnostic {
    let message =
        format!("readinessProbe {probe} of container {container} does not pass on {share}.");
    let fix = "See the answer in `kubectl describe pod`, and the application's log: either it says not ready, or the probe asks for what it does not serve. Routing resumes by itself.";
    felt(Code::RH406, origin, message, consequence, fix)
}

/// Containers run and pass, and still the pod does not count as ready.
pub fn not_ready(origin: Origin, share: &Share, consequence: &str) -> Diagnostic {
    let message = format!("Containers of {share} run, and do not count as ready.");
    let fix = "See the pods' conditions and whether their nodes are ready.";
    felt(Code::RH406, origin, message, consequence, fix)
}

pub fn starting(
    origin: Origin,
    probe: &str,
    container: &str,
    patience: u32,
    consequence: &str,
) -> Diagnostic {
    Diagnostic::new(
        Code::RH407,
        origin,
        format!(
            "startupProbe {probe} of container {container} has not passed; it may take up to {patience} s.{consequence}"
        ),
        "Wait, or raise failureThreshold x periodSeconds.",
    )
}

/// It has used all its time, more than once.
pub fn startup_gives_up(
    origin: Origin,
    probe: &str,
    container: &str,
    patience: u32,
    consequence: &str,
) -> Diagnostic {
    let message = format!(
        "startupProbe {probe} of container {container} has not passed within {patience} s; the kubelet restarts it again and again."
    );
    let fix = "Point startupProbe at what the application answers, or raise failureThreshold x periodSeconds.";
    let finding = felt(Code::RH407, origin, message, consequence, fix);
    match consequence {
        "" => finding,
        _ => finding.with_severity(Severity::Error),
    }
}

/// A container is killed as soon as the liveness probe's patience is over.
pub fn liveness_kills_starter(
    origin: Origin,
    probe: &str,
    container: &str,
    patience: u32,
    consequence: &str,
) -> Diagnostic {
    let message = format!(
        "Container {container} is killed about {patience} s after its start by livenessProbe {probe}, before readiness has passed."
    );
    let fix = "Add a startupProbe, or raise initialDelaySeconds; check that the probe asks for what the application serves.";
    felt(Code::RH408, origin, message, consequence, fix)
}

pub fn gate_waiting(origin: Origin, gate: &str, share: &Share, consequence: &str) -> Diagnostic {
    let message = format!("Readiness gate {gate} is not True on {share}.");
    let fix = "Look at the controller that owns this gate.";
    felt(Code::RH410, origin, message, consequence, fix)
}

pub fn not_ready_published(origin: Origin, service: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH411,
        origin,
        format!(
            "Service {service} publishes pods that are not ready; readiness does not protect this route."
        ),
        "Remove publishNotReadyAddresses unless it is intended.",
    )
}

/// `words` are the kubelet's.
pub fn container_config(
    origin: Origin,
    container: &str,
    words: &str,
    consequence: &str,
) -> Diagnostic {
    let words = match words {
        "" => "it cannot be configured",
        words => words.trim_end_matches('.'),
    };
    let message = format!("Container {container}: {words}.");
    let fix = "Create the key, Secret or ConfigMap, or correct the reference.";
    felt(Code::RH419, origin, message, consequence, fix)
}

/// `declared` are the names that containers give to ports.
pub fn target_port_name_unresolved(
    origin: Origin,
    name: &str,
    pods: &str,
    declared: &[&str],
    consequence: &str,
) -> Diagnostic {
    let has = match declared {
        [] => "they name none".to_owned(),
        names => format!("they name {}", names.join(", ")),
    };
    Diagnostic::new(
        Code::RH203,
        origin,
        format!(
            "targetPort {name} is not the name of a port of any container of {pods}; {has}.{consequence}"
        ),
        "Name the containerPort so, or use its number.",
    )
}

/// `found` is what the readiness probe speaks, `spoken` what the route does.
pub fn protocol_mismatch(
    origin: Origin,
    found: &str,
    port: i32,
    spoken: &str,
    fix: &str,
) -> Diagnostic {
    Diagnostic::new(
        Code::RH515,
        origin,
        format!("The readinessProbe speaks {found} on port {port}, the route speaks {spoken}."),
        fix,
    )
}

pub fn target_port_not_listening(
    origin: Origin,
    service_port: u16,
    target: i32,
    probed: i32,
) -> Diagnostic {
    Diagnostic::new(
        Code::RH516,
        origin,
        format!(
            "Service port {service_port} goes to port {target}, which no container declares; the readinessProbe asks port {probed}, which one does."
        ),
        format!("If nothing listens on {target}, set targetPort to {probed}."),
    )
}

pub fn no_readiness_probe(origin: Origin, container: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH901,
        origin,
        format!(
            "Container {container} has no readinessProbe; its pods count as ready as soon as it runs."
        ),
        "Add a readinessProbe on a real route.",
    )
}

pub fn readiness_by_command(origin: Origin, container: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH902,
        origin,
        format!(
            "The readinessProbe of container {container} runs a command, which cannot be repeated over the network."
        ),
        "Nothing needs to be done. A readinessProbe over HTTP, where the application has a route for it, says more.",
    )
}

/// `probes` of two revisions, as `GET :8080/health`.
pub fn mixed_revisions(origin: Origin, one: &str, other: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH903,
        origin,
        format!("Of its pods some have readinessProbe {one}, some {other}."),
        "Nothing needs to be done; it ends with the rollout.",
    )
}

pub fn port_undeclared(origin: Origin, port: i32) -> Diagnostic {
    Diagnostic::new(
        Code::RH904,
        origin,
        format!(
            "Port {port} is declared by no container and several have a readinessProbe, so it is not known which one speaks for it."
        ),
        "Declare the containerPort.",
    )
}

pub fn no_drain(origin: Origin, container: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH907,
        origin,
        format!(
            "Container {container} has no preStop, and may stop before proxies have dropped it; rolling updates then give 502."
        ),
        "Add a preStop sleep of about 10 s, or handle SIGTERM by draining.",
    )
}
