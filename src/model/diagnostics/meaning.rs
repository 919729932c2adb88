//! What each code means, whatever the object: the one table behind `vigie explain RHnnn`, the rules
//! of SARIF and docs/diagnostics.md. A new code does not compile until it has its line here and an
//! example in [`examples`](super::examples).

use super::Code;
use super::examples::{Shown, shown};

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What is wrong, in one sentence.
    pub title: &'static str,
    /// How it comes about, and what clients get.
    pub explanation: &'static str,
    /// What to do, in the imperative.
    pub repair: &'static str,
    pub shown: Shown,
}

impl Code {
    pub fn meaning(self) -> Meaning {
        let (title, explanation, repair) = words(self);
        Meaning {
            title,
            explanation,
            repair,
            shown: shown(self),
        }
    }
}

/// Title, explanation and repair. A table has as many lines as it has entries.
fn words(code: Code) -> (&'static str, &'static str, &'static str) {
    match code {
        Code::RH101 => (
            "The RouteHealth names an Ingress that its namespace does not have.",
            "A RouteHealth is about Ingresses of its own namespace. It judges nothing until the Ingress is there.",
            "Create the Ingress, or correct spec.targetRef.name.",
        ),
        Code::RH102 => (
            "The Ingress belongs to another controller, or to none.",
            "Its class is another controller's, or it names no class and no class of ours is the default one. Vigie leaves it alone; an Ingress that no controller claims does nothing.",
            "Set spec.ingressClassName to a class that is served here, if the Ingress is meant for this controller.",
        ),
        Code::RH103 => (
            "The RouteHealth selects nothing.",
            "No Ingress of this controller in the namespace has the labels of spec.targetSelector, or no rule of the target has the host and path of spec.routes.",
            "Copy host and path exactly from the rule of the Ingress, or correct the labels.",
        ),
        Code::RH104 => (
            "Another RouteHealth holds every route that this one asks for.",
            "One RouteHealth speaks for a route: the one that names it most precisely, then the older one, then the first by namespace and name.",
            "Delete one of the two, or narrow one with spec.routes.",
        ),
        Code::RH105 => (
            "A field or a file cannot be read, so that no route can be made of it.",
            "A value has another type than the API wants, is out of range or is not of the right form. It costs the rule, the path or the object that it stands in, and nobody else.",
            "Correct the field that the finding names; the finding says what is allowed.",
        ),
        Code::RH106 => (
            "Another RouteHealth holds some of the routes that this one asks for.",
            "It speaks for its other routes as it says.",
            "Delete one of the two, or narrow one with spec.routes.",
        ),
        Code::RH107 => (
            "An annotation has a value that cannot be used.",
            "The finding says what holds instead. Where the annotation guards access, the route answers 503 rather than stand open.",
            "Write a value of the form that the finding names.",
        ),
        Code::RH108 => (
            "A RouteHealth decides, so annotations on the Ingress are ignored.",
            "Specs are never merged: where a RouteHealth names the Ingress, probe annotations of the Ingress count for nothing.",
            "Remove one of the two.",
        ),
        Code::RH109 => (
            "A path holds regular-expression characters where it is not read as one.",
            "Paths of type Prefix and Exact are literal. In a strict class the path is refused; where use-regex is missing it is taken literally, which matches hardly any request.",
            "Set pathType: ImplementationSpecific and annotation use-regex: \"true\", or percent-encode characters that are meant literally.",
        ),
        Code::RH201 => (
            "The backend's Service does not exist.",
            "Services are looked for in the namespace of the Ingress alone. Requests for the route get 503 until the Service is there.",
            "Correct backend.service.name, or create the Service. Services of other namespaces cannot be used.",
        ),
        Code::RH202 => (
            "The backend's Service has no such port.",
            "An Ingress names a port of the Service, by number or by name, and not the port of the container. Requests for the route get 503.",
            "Use a port of the Service, not the container port.",
        ),
        Code::RH203 => (
            "The Service's targetPort is a name that no container declares.",
            "Kubernetes finds no endpoint port by that name, so the Service has no endpoint there and requests get 503.",
            "Name the containerPort so, or use its number.",
        ),
        Code::RH204 => (
            "The backend is not a Service.",
            "backend.resource can name any object, and there is no way to send requests to it. Requests for the route get 503.",
            "Use a Service backend.",
        ),
        Code::RH205 => (
            "The Service is an ExternalName: it is routed and not probed.",
            "Its name is resolved where the proxies run. There are no pods whose health could be seen.",
            "Nothing needs to be done.",
        ),
        Code::RH206 => (
            "The Secret with the certificate does not exist.",
            "Secrets are looked for in the namespace of the Ingress. The default certificate is served, and browsers warn of it.",
            "Create the Secret in this namespace, or correct spec.tls.secretName.",
        ),
        Code::RH207 => (
            "The Secret with the certificate cannot be used.",
            "It lacks tls.crt or tls.key, they cannot be read, or they do not belong together. The last good certificate or the default one is served.",
            "Recreate it with `kubectl create secret tls`: tls.crt holds the chain, tls.key the key of its first certificate.",
        ),
        Code::RH208 => (
            "The certificate is not for this host.",
            "No name of the certificate covers the host, so it is not served there. Clients get another certificate and refuse it.",
            "Issue a certificate for the host, or name the Secret that has one.",
        ),
        Code::RH209 => (
            "The certificate has expired.",
            "It is still served, because no better one is there; clients refuse it.",
            "Renew it.",
        ),
        Code::RH210 => (
            "The IngressClass does not exist.",
            "No controller claims an Ingress whose class is not there, so that it does nothing.",
            "Install the controller's IngressClass, or correct spec.ingressClassName.",
        ),
        Code::RH212 => (
            "The host has no certificate of its own.",
            "No spec.tls entry names it, so that it is served by http; clients that use https get the default certificate.",
            "Add an entry to spec.tls if https is wanted.",
        ),
        Code::RH213 => (
            "The certificate expires within two weeks.",
            "What should have renewed it by now has not.",
            "Renew it, or see why the program that renews it does not.",
        ),
        Code::RH214 => (
            "An entry of spec.tls has hosts and no Secret.",
            "The default certificate is served for its hosts. Often the Secret stands in an entry of its own.",
            "Add secretName, or join this entry with the one that has the Secret.",
        ),
        Code::RH215 => (
            "spec.tls names a host that no rule of the Ingress has.",
            "The certificate helps no route, and the rule's host may lack one: the two lists have to name the same hosts.",
            "Use the same host in spec.tls and spec.rules.",
        ),
        Code::RH216 => (
            "The Secret with the users of basic authentication does not exist.",
            "Nobody could be let in, so the route answers 503 until the Secret is there.",
            "Create the Secret, or correct annotation auth-secret.",
        ),
        Code::RH217 => (
            "The Secret with the users of basic authentication cannot be used.",
            "Lines of htpasswd are wanted under key auth. The route answers 503 until they are there.",
            "Put the htpasswd lines under key auth: `kubectl create secret generic NAME --from-file=auth`.",
        ),
        Code::RH218 => (
            "auth-url names a Service of the cluster that does not exist.",
            "Every request is first sent there, so no request can be let in.",
            "Correct the host in annotation auth-url, or create the Service.",
        ),
        Code::RH302 => (
            "The proxy refuses what is rendered for this object.",
            "The proxy checks a configuration before it is loaded. The object that its words lead to is set aside, its last version that was accepted stays in use, and all others are served.",
            "Correct what the proxy's words point at. The object is tried again when it changes.",
        ),
        Code::RH304 => (
            "No proxy is running.",
            "Without a running proxy an Ingress does nothing; clients cannot connect.",
            "Scale the proxies up, and see why their pods do not run.",
        ),
        Code::RH305 => (
            "Not every proxy runs this route as it is now.",
            "The finding names a proxy that is behind. Answers differ by the proxy that a request comes to.",
            "Look at the log of the proxy that is named; restart it if it is stuck.",
        ),
        Code::RH306 => (
            "Another rule has the same host and path.",
            "The older object has it, then the first by namespace and name, then the first rule of an object. Requests never come to this one.",
            "Change one of the two paths, or remove one rule.",
        ),
        Code::RH309 => (
            "The path is Exact, and clients ask for paths below it.",
            "An Exact path matches that path alone. Paths below it get what the next rule or the default backend says, most often 404.",
            "Use pathType Prefix.",
        ),
        Code::RH311 => (
            "A canary has no main Ingress.",
            "A canary takes a share of what another Ingress gets for the same host and path. Without that it is never chosen.",
            "Create the main Ingress for this host and path, or remove the canary annotations.",
        ),
        Code::RH312 => (
            "A '*' in a path is taken literally.",
            "Paths of type Prefix and Exact have no wildcards: such a path matches only requests that hold the star too.",
            "Leave the star away: a Prefix covers everything below it.",
        ),
        Code::RH313 => (
            "No rule takes the URL that was asked for.",
            "No rule has its host, or none of the host's rules its path; a wildcard host covers one label alone. Clients get the default backend or 404.",
            "Add a rule for it, or ask for a host and a path that a rule has.",
        ),
        Code::RH314 => (
            "Another Ingress makes regular expressions of this host's paths.",
            "In a class of ingress-nginx, use-regex or rewrite-target of one Ingress holds for the whole host: every path of it is matched as a prefix, ignoring case, whatever its type.",
            "Use another host for one of the two, or path semantics strict.",
        ),
        Code::RH315 => (
            "rewrite-target sends every path to the same one.",
            "The target replaces the whole path and takes nothing over from it, so that the application gets that one path whatever clients ask for.",
            "Capture what follows: path /app(/|$)(.*) of pathType ImplementationSpecific, and rewrite-target /$2.",
        ),
        Code::RH316 => (
            "rewrite-target names a group that the path does not have.",
            "Nothing is put in the group's place, so that the application gets the rest of the target alone.",
            "Give the path that group, as in /app(/|$)(.*), or name one that it has.",
        ),
        Code::RH317 => (
            "force-ssl-redirect may redirect for ever.",
            "No certificate for the host ends here. Where TLS ends in front of the proxy and its forwarded headers are not trusted, every request looks like http and is redirected again.",
            "Give the addresses in front as trusted proxies, or remove the redirect.",
        ),
        Code::RH401 => (
            "No pod matches the Service's selector.",
            "The Service has no endpoint, so requests get 503.",
            "Align the Service's selector and the labels of the pods.",
        ),
        Code::RH402 => (
            "The workload behind the Service is scaled to 0.",
            "There is no pod, so requests get 503 until it is scaled up.",
            "Scale it up, or remove the route.",
        ),
        Code::RH403 => (
            "The pods wait to be made.",
            "No node has room for them, or the right labels, taints and volumes; their containers or what goes before them take long; or what makes them is not allowed to. Requests get 503.",
            "See `kubectl describe pod`, or the conditions of what makes them: the last events say what is missing.",
        ),
        Code::RH404 => (
            "The container crashes again and again.",
            "It ends soon after each start, and the kubelet waits longer each time. Requests get 502 or 503.",
            "See `kubectl logs POD -c CONTAINER --previous`.",
        ),
        Code::RH405 => (
            "The container's image cannot be pulled.",
            "Its name or tag does not exist, or the registry refuses the node. Requests get 503.",
            "Correct the image, or the pull secret.",
        ),
        Code::RH406 => (
            "The pods run and are not ready.",
            "Their readinessProbe does not pass, so that they get no requests. With no ready pod left, requests get 503.",
            "See what the readinessProbe asks for and what the application's log says. Routing resumes by itself.",
        ),
        Code::RH407 => (
            "The startupProbe has not passed yet.",
            "A pod gets no requests until it has, at most failureThreshold times periodSeconds after its start.",
            "Wait, or raise failureThreshold if the application needs longer.",
        ),
        Code::RH408 => (
            "The livenessProbe restarts the container before it is ready.",
            "The application starts more slowly than the livenessProbe allows, so that the kubelet kills it each time.",
            "Add a startupProbe: the livenessProbe waits until it has passed.",
        ),
        Code::RH409 => (
            "Only pods that are going away are left.",
            "They serve until they end; then requests get 503.",
            "Wait for the rollout; raise maxSurge so that new pods come before old ones go.",
        ),
        Code::RH410 => (
            "A readiness gate of the pods is not True.",
            "Another controller has to set the condition that spec.readinessGates names. The pods get no requests before.",
            "Look at the controller that owns this gate, or remove the gate.",
        ),
        Code::RH411 => (
            "The Service publishes pods that are not ready.",
            "With publishNotReadyAddresses, pods get requests whatever their readinessProbe says.",
            "Remove it unless it is intended.",
        ),
        Code::RH417 => (
            "The EndpointSlices have no port of the Service port's name.",
            "Ports of slices are matched by their names. Without one the Service port has no endpoint, and requests get 503.",
            "Use the Service port's name in the EndpointSlice.",
        ),
        Code::RH418 => (
            "The Service has no selector, and nobody wrote an EndpointSlice for it.",
            "Kubernetes writes endpoints of Services with a selector alone. Requests get 503.",
            "Add a selector, or an EndpointSlice with label kubernetes.io/service-name.",
        ),
        Code::RH419 => (
            "The container cannot be configured.",
            "A Secret, a ConfigMap or a key that it refers to does not exist, so that it is never started. Requests get 503.",
            "Create what is missing, or correct the reference.",
        ),
        Code::RH515 => (
            "The route speaks another protocol than the application.",
            "The readinessProbe shows what the application speaks on this port. Requests get 400 or 502.",
            "Set annotation backend-protocol, or appProtocol of the Service port.",
        ),
        Code::RH516 => (
            "The Service goes to a port on which nothing seems to listen.",
            "targetPort is a number that no container declares, while the readinessProbe asks on another port. If nothing listens there, requests get 502.",
            "Set targetPort to the port that the application listens on.",
        ),
        Code::RH809 => (
            "The status leaves details out.",
            "A RouteHealth's status has a largest size. With very many routes, healthy ones and further endpoints that fail are left out; its conditions count all of them.",
            "Split the RouteHealth into several with fewer routes each.",
        ),
        Code::RH901 => (
            "The pods have no readinessProbe.",
            "They count as ready as soon as the container runs, and get requests that the application cannot answer yet.",
            "Add a readinessProbe on a path that the application really serves.",
        ),
        Code::RH902 => (
            "The readinessProbe runs a command.",
            "A command cannot be repeated over the network, so what it finds out is known by its outcome alone.",
            "Nothing needs to be done. Where the application has a route for it, httpGet says more.",
        ),
        Code::RH903 => (
            "Pods of two revisions are probed differently.",
            "While a rollout changes the readinessProbe, old and new pods are each asked in their own way.",
            "Nothing needs to be done; it ends with the rollout.",
        ),
        Code::RH904 => (
            "No container declares the port that the Service goes to.",
            "Several containers have probes, and none can be told to be the one that serves. No probe is taken over.",
            "Declare the containerPort.",
        ),
        Code::RH907 => (
            "The container may stop before the proxies know of it.",
            "It has no preStop hook. Unless the application handles SIGTERM by serving on for a moment, requests of a rolling update get 502.",
            "Add a preStop sleep of about 10 seconds, or drain on SIGTERM.",
        ),
        Code::RH908 => (
            "An annotation is not read.",
            "Its name is misspelt, unknown, or one that ingress-nginx does not read either. It is an error where it was meant to guard access.",
            "Rename it to the annotation that was meant, or remove it.",
        ),
        Code::RH909 => (
            "The proxy cannot do what is asked for.",
            "The finding names the proxy and what holds instead. Where access is guarded so, it is an error and the route answers 503. `vigie lint --proxy` judges for one proxy alone.",
            "Do without it, or use the other proxy for this route.",
        ),
        Code::RH910 => (
            "An annotation is known and not honoured by this release.",
            "The route works without it. Where the annotation guards access, it is an error and the route answers 503 rather than stand open.",
            "Remove the annotation if the route does not need it, or keep this route on another controller.",
        ),
        Code::RH911 => (
            "A setting of the Service is not honoured.",
            "The proxy chooses among all endpoints by itself, and speaks the protocol that its class and annotations say.",
            "Nothing needs to be done unless the application relies on it.",
        ),
    }
}

#[cfg(test)]
mod tests;
