//! A network between two services that can be made slow or cut.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// How bytes fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// As if there was no proxy.
    Well,
    /// Everything takes this much longer, each way.
    Slow(Duration),
    /// Nothing arrives, connections stay open: bytes come when it is well again, as TCP sends them once more.
    Cut,
}

/// Passes connections on to a peer. Ends, with all connections, when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    network: watch::Sender<Network>,
    _connections: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(host: &str, peer: SocketAddr) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let network = watch::Sender::new(Network::Well);
        let state = network.subscribe();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(connection(near, peer, state.clone()));
            }
        });
        Self { address, network, _connections: connections }
    }

    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn connection(near: TcpStream, peer: SocketAddr, network: watch::Receiver<Network>) {
    let mut before = network.clone();
    if before.wait_for(|network| *network != Network::Cut).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(peer).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // When one side is gone, so is the other.
    tokio::select! {
        () = pass(near_in, far_out, network.clone()) => {}
        () = pass(far_in, near_out, network) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let now = *network.borrow();
        if let Network::Slow(delay) = now {
            // Whoever heals the network need not wait for what is under way.
            let mut healed = network.clone();
            tokio::select! {
                () = sleep(delay) => {}
                _ = healed.wait_for(|network| *network == Network::Well) => {}
            }
        }
        if network.wait_for(|network| *network != Network::Cut).await.is_err()
            || to.write_all(&bytes[..read]).await.is_err()
        {
            break;
        }
    }
}
