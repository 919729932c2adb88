//! The line to an API server, which a test can cut and mend.

use std::net::SocketAddr;

use kube::{Client, Config};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub struct Line {
    address: SocketAddr,
    server: String,
    /// Accepting, and every connection.
    tasks: JoinSet<()>,
}

impl Line {
    pub async fn to(config: &Config) -> Self {
        let url = &config.cluster_url;
        let host = url.host().expect("a host");
        let server = format!("{host}:{}", url.port_u16().unwrap_or(443));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut line = Self {
            address: listener.local_addr().expect("an address"),
            server,
            tasks: JoinSet::new(),
        };
        line.accept(listener);
        line
    }

    /// A client whose every byte takes this line.
    pub fn client(&self, mut config: Config) -> Client {
        let host = config.cluster_url.host().expect("a host").to_owned();
        config.tls_server_name.get_or_insert(host);
        let url = format!("https://{}/", self.address);
        config.cluster_url = url.parse().expect("a URL");
        Client::try_from(config).expect("a client")
    }

    /// Ends all connections, and refuses new ones.
    pub async fn cut(&mut self) {
        self.tasks.shutdown().await;
    }

    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address)
            .await
            .expect("its port is free");
        self.accept(listener);
    }

    fn accept(&mut self, listener: TcpListener) {
        let server = self.server.clone();
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let server = server.clone();
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(server).await {
                        // However it ends, it has ended.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
    }
}
