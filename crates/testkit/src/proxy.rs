//! A TCP proxy that makes a network fail: it delays, holds back and cuts.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Forwards between a client and a server; ends with the test.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    /// Delay of what the server sends, in ms.
    delay: AtomicU64,
    /// Whether what the server sends is held back.
    holds: watch::Sender<bool>,
    /// From when on it is held back; nothing where that is not to come.
    cue: Mutex<&'static [&'static str]>,
    /// One up with every cut.
    cuts: watch::Sender<u64>,
    /// One up with every silence.
    silences: watch::Sender<u64>,
    /// Whether new connections are closed at once.
    refuses: AtomicBool,
    /// Where new connections lead, on 127.0.0.1.
    port: AtomicU16,
}

impl Proxy {
    /// Starts one in front of a port on 127.0.0.1.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(State {
            delay: AtomicU64::new(0),
            holds: watch::Sender::new(false),
            cue: Mutex::default(),
            cuts: watch::Sender::new(0),
            silences: watch::Sender::new(0),
            refuses: AtomicBool::new(false),
            port: AtomicU16::new(port),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.refuses.load(Ordering::SeqCst) {
                    continue;
                }
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let port = state.port.load(Ordering::SeqCst);
                    // A server that is away refuses: so does this.
                    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    state.carry(client, server).await;
                });
            }
        });
        Self { address, state, accepting }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on new connections lead to another port, as behind a balancer; those that are there stay where they are.
    pub fn redirect(&self, port: u16) {
        self.state.port.store(port, Ordering::SeqCst);
    }

    /// From now on what the server sends arrives so much later.
    pub fn delay(&self, delay: Duration) {
        self.state.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// From now on what the server sends is held back.
    pub fn hold(&self) {
        self.state.holds.send_replace(true);
    }

    /// Once the server has sent these words, one after the other on one connection, what it sends is held back: from the
    /// answer that holds the last of them on. For a moment that no clock would meet.
    pub fn hold_from(&self, words: &'static [&'static str]) {
        *self.state.cue() = words;
    }

    /// Whether what the server sends is held back.
    pub fn holds(&self) -> bool {
        *self.state.holds.borrow()
    }

    /// What was held back arrives.
    pub fn release(&self) {
        self.state.holds.send_replace(false);
    }

    /// Ends all connections, and closes new ones at once until [`accept`](Self::accept).
    pub fn sever(&self) {
        self.state.refuses.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// New connections are taken again.
    pub fn accept(&self) {
        self.state.refuses.store(false, Ordering::SeqCst);
    }

    /// Ends all connections; new ones are taken.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Proxy {
    /// Makes all connections half-open: they stay, but neither side receives anything any more. New ones work.
    pub fn silence(&self) {
        self.state.silences.send_modify(|silences| *silences += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl State {
    async fn carry(&self, client: TcpStream, server: TcpStream) {
        let (mut cuts, mut silences) = (self.cuts.subscribe(), self.silences.subscribe());
        cuts.mark_unchanged();
        silences.mark_unchanged();
        for stream in [&client, &server] {
            drop(stream.set_nodelay(true)); // only makes tests slower
        }
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let both = async {
            tokio::select! {
                () = Self::forward(from_client, to_server) => {}
                () = self.hold_back(from_server, to_client) => {}
            }
        };
        tokio::pin!(both); // not dropped, and with it the sockets, while it is silent
        tokio::select! {
            () = &mut both => {}
            _ = cuts.changed() => {}
            _ = silences.changed() => drop(cuts.changed().await),
        }
    }

    fn cue(&self) -> MutexGuard<'_, &'static [&'static str]> {
        self.cue.lock().expect("no connection panicked")
    }

    /// Holds back from here on if this is the last word that was waited for; `said` counts those of this connection.
    fn listen(&self, answer: &[u8], said: &mut usize) {
        let mut cue = self.cue();
        while let Some(word) = cue.get(*said)
            && answer.windows(word.len()).any(|part| part == word.as_bytes())
        {
            *said += 1;
        }
        if !cue.is_empty() && *said >= cue.len() {
            (*cue, *said) = (&[], 0);
            self.holds.send_replace(true);
        }
    }

    async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        drop(tokio::io::copy(&mut from, &mut to).await); // an end or an error: both end the connection
    }

    async fn hold_back(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (mut buffer, mut holds, mut said) = (vec![0; 64 * 1024], self.holds.subscribe(), 0);
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            self.listen(&buffer[..read], &mut said);
            let delay = Duration::from_millis(self.delay.load(Ordering::SeqCst));
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let is_let_go = holds.wait_for(|holds| !holds).await.is_ok();
            if !is_let_go || to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
