//! Metrics of routes, as the statuses of RouteHealths tell them. Their names begin with `routehealth_`, since
//! they say nothing of this program.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::api::route_health::{Condition, ConditionStatus, RouteHealth, RouteStatus};
use crate::conditions::ConditionType;
use crate::source::cluster::Statuses;
use crate::telemetry::Metrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    namespace: String,
    ingress: String,
    host: String,
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStage {
    namespace: String,
    ingress: String,
    host: String,
    path: String,
    stage: String,
    reason: String,
}

/// 1 is True, 0 False, and what is not known is no number.
type Truth = Gauge<f64, AtomicU64>;

#[derive(Clone, Default)]
pub struct Routes {
    healthy: Family<OfRoute, Truth>,
    stages: Family<OfStage, Truth>,
}

impl Routes {
    pub fn register(&self, metrics: &Metrics) {
        metrics.register_as("routehealth", |registry| {
            let help = "Whether a route works: 1, 0, or NaN where it is not known";
            registry.register("route_healthy", help, self.healthy.clone());
            let help = "A stage of a route that is not True: 0, or NaN where it is not known";
            registry.register("stage", help, self.stages.clone());
        });
    }

    /// Shows what stands; only who leads tells, so that a route is counted once.
    pub fn refresh(&self, statuses: &Statuses, leads: bool) {
        self.healthy.clear();
        self.stages.clear();
        let healths = statuses.route_healths.values().filter(|_| leads);
        for health in healths {
            let status = health.status.as_ref();
            for row in status.map_or(&[][..], |status| &status.routes) {
                self.show(health, row);
            }
        }
    }

    fn show(&self, health: &RouteHealth, row: &RouteStatus) {
        let namespace = health.metadata.namespace.clone().unwrap_or_default();
        let route = OfRoute {
            namespace,
            ingress: row.ingress.clone(),
            host: row.host.clone(),
            path: row.path.clone(),
        };
        for condition in &row.conditions {
            if condition.type_ == ConditionType::Healthy.as_str() {
                self.healthy.get_or_create(&route).set(truth(condition));
                continue;
            }
            let stage = OfStage {
                namespace: route.namespace.clone(),
                ingress: route.ingress.clone(),
                host: route.host.clone(),
                path: route.path.clone(),
                stage: condition.type_.clone(),
                reason: condition.reason.clone(),
            };
            self.stages.get_or_create(&stage).set(truth(condition));
        }
    }
}

fn truth(condition: &Condition) -> f64 {
    match condition.status {
        ConditionStatus::True => 1.0,
        ConditionStatus::False => 0.0,
        ConditionStatus::Unknown => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::snapshot::ObjectName;

    #[test]
    fn a_broken_route_is_told_with_its_stage_and_only_by_who_leads() {
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let row = |path: &str, conditions: serde_json::Value| {
            json!({"ingress": "shop", "host": "shop.example.com", "path": path,
                "pathType": "Prefix", "backend": "shop:80", "conditions": conditions})
        };
        let broken = json!([
            condition("Healthy", "False", "ServiceNotFound"),
            condition("ResolvedRefs", "False", "ServiceNotFound"),
            condition("EndpointsReady", "Unknown", "Pending"),
        ]);
        let good = json!([condition("Healthy", "True", "Healthy")]);
        let health: RouteHealth = serde_json::from_value(json!({
            "apiVersion": "vigie.dev/v1alpha1", "kind": "RouteHealth",
            "metadata": {"name": "shop.auto", "namespace": "web"},
            "spec": {"targetRef": {"name": "shop"}},
            "status": {"target": "ingress/shop", "conditions": [],
                "routes": [row("/a", broken), row("/b", good)]},
        }))
        .expect("a RouteHealth");
        let mut statuses = Statuses::default();
        let name = ObjectName::new("web", "shop.auto");
        Arc::make_mut(&mut statuses.route_healths).insert(name, Arc::new(health));
        let (routes, metrics) = (Routes::default(), Metrics::default());
        routes.register(&metrics);
        routes.refresh(&statuses, true);
        let text = metrics.text();
        let of = r#"{namespace="web",ingress="shop",host="shop.example.com",path="/a""#;
        for line in [
            format!("routehealth_route_healthy{of}}} 0.0"),
            format!("routehealth_route_healthy{}}} 1.0", of.replace("/a", "/b")),
            format!(r#"routehealth_stage{of},stage="ResolvedRefs",reason="ServiceNotFound"}} 0.0"#),
            format!(r#"routehealth_stage{of},stage="EndpointsReady",reason="Pending"}} NaN"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        routes.refresh(&statuses, false);
        assert!(!metrics.text().contains("shop.example.com"));
    }
}
