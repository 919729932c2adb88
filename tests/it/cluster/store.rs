//! Acts on etcd itself, behind the API server's back.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::client::{Request, Target, exchange};

/// Has etcd forget what was before its latest revision.
pub async fn compact(address: SocketAddr) {
    // A key that is not there: every answer says which revision is the latest.
    let latest = post(address, "range", &json!({"key": "AA=="})).await;
    let revision = &latest["header"]["revision"];
    assert!(revision.is_string(), "no revision: {latest}");
    let what = json!({"revision": revision, "physical": true});
    post(address, "compaction", &what).await;
}

async fn post(address: SocketAddr, act: &str, body: &Value) -> Value {
    let request = Request::post("etcd", &format!("/v3/kv/{act}"), body.to_string());
    let answer = exchange(&Target::plain(address), &request).await;
    let answer = answer.unwrap_or_else(|error| panic!("etcd, {act}: {error:#}"));
    assert_eq!(answer.status, 200, "etcd, {act}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("it answers with JSON")
}
