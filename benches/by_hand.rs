//! Configurations as somebody would write them by hand for these hosts: nothing but what is compared.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use vigie::render::ProxyKind;

use crate::load::host;

/// Writes the configuration for so many hosts into a directory.
pub fn write(proxy: ProxyKind, root: &Path, http: SocketAddr, backend: SocketAddr, hosts: usize) {
    match proxy {
        ProxyKind::Nginx => {
            fs::write(root.join("nginx.conf"), nginx(http, backend, hosts)).expect("a file");
        }
        ProxyKind::Haproxy => {
            let map: String = (0..hosts)
                .map(|i| format!("{} shop-{i}\n", host(i)))
                .collect();
            fs::write(root.join("hosts.map"), map).expect("a file");
            fs::write(root.join("haproxy.cfg"), haproxy(http, backend, hosts)).expect("a file");
        }
    }
}

fn nginx(http: SocketAddr, backend: SocketAddr, hosts: usize) -> String {
    let mut text = String::from(
        r#"daemon off;
worker_processes auto;
worker_rlimit_nofile 65536;
pid nginx.pid;
error_log stderr;
events { worker_connections 16384; }
http {
    client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;
    server_names_hash_bucket_size 128;
    server_names_hash_max_size 4096;
    keepalive_requests 10000;
    log_format json escape=json '{"time":"$time_iso8601","remote_addr":"$remote_addr","request_id":"$request_id","method":"$request_method","host":"$host","uri":"$request_uri","protocol":"$server_protocol","status":$status,"bytes_sent":$bytes_sent,"request_time":$request_time,"upstream_addr":"$upstream_addr","upstream_status":"$upstream_status","upstream_connect_time":"$upstream_connect_time","upstream_response_time":"$upstream_response_time","tls":"$ssl_protocol"}';
    access_log /dev/stdout json;
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Request-ID $request_id;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_set_header X-Scheme $scheme;
    proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
    proxy_set_header Proxy "";
"#,
    );
    for i in 0..hosts {
        let (name, port) = (host(i), backend.port());
        let _ = write!(
            text,
            "    upstream shop-{i} {{ server {}:{port}; server 127.0.0.2:{port}; keepalive 32; }}\n    server {{ listen {http}; server_name {name}; location / {{ proxy_pass http://shop-{i}; }} }}\n",
            backend.ip()
        );
    }
    text.push_str("}\n");
    text
}

fn haproxy(http: SocketAddr, backend: SocketAddr, hosts: usize) -> String {
    let mut text = format!(
        r#"global
    log stdout format raw local0
defaults
    mode http
    log global
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    http-reuse safe
frontend http
    bind {http}
    unique-id-format %[uuid]
    log-format '{{"time":"%[date,ltime(%Y-%m-%dT%H:%M:%S%z)]","remote_addr":"%ci","request_id":"%ID","method":"%HM","host":"%[capture.req.hdr(0),json(utf8s)]","uri":"%[capture.req.uri,json(utf8s)]","protocol":"%HV","status":%ST,"bytes_sent":%B,"request_time":%[txn.timer.total]e-3,"upstream":"%b","upstream_addr":"%si:%sp","upstream_connect_time":%[bc.timer.connect]e-3,"upstream_response_time":%Tr,"tls":"%sslv"}}'
    http-request capture req.hdr(host) len 255
    http-request set-header X-Request-ID %[unique-id]
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Scheme http
    http-request set-header X-Scheme http
    http-request del-header Proxy
    use_backend %[req.hdr(host),host_only,lower,map_str(hosts.map)]
"#
    );
    for i in 0..hosts {
        let _ = write!(
            text,
            "backend shop-{i}\n    server a {}:{port}\n    server b 127.0.0.2:{port}\n",
            backend.ip(),
            port = backend.port()
        );
    }
    text
}
