//! A load generator that costs little: keep-alive connections on loopback, whole requests out, status and body back.
//! Closed loops for throughput, an open loop for latency; anything but the status that is meant ends the run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(8192) }
    }

    /// Sends a whole request and reads its whole answer.
    pub async fn ask(&mut self, request: &[u8]) -> (u16, &[u8]) {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let (mut head, mut length) = (0, 0);
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed a connection: {}", String::from_utf8_lossy(&self.buffer));
            if head == 0
                && let Some(end) = find(&self.buffer, b"\r\n\r\n")
            {
                head = end + 4;
                length = content_length(&self.buffer[..end]);
            }
            if head > 0 && self.buffer.len() >= head + length {
                let status = std::str::from_utf8(&self.buffer[9..12]).unwrap().parse().unwrap();
                return (status, &self.buffer[head..]);
            }
        }
    }

    /// As [`Self::ask`], where only one status will do.
    pub async fn expect(&mut self, request: &[u8], status: u16) -> &[u8] {
        let (was, body) = self.ask(request).await;
        assert_eq!(was, status, "{} was answered {}", String::from_utf8_lossy(request), String::from_utf8_lossy(body));
        body
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn content_length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).unwrap();
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    line.unwrap_or(0)
}

/// Requests done and how long each took, in seconds.
pub struct Done {
    pub wall: f64,
    pub times: Vec<f64>,
}

impl Done {
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.wall
    }
}

/// Every connection asks its own request again and again, the next one when the last is answered.
pub async fn closed(port: u16, requests: &[Vec<u8>], status: u16, time: Duration) -> Done {
    let start = Instant::now();
    let mut clients = Vec::new();
    for request in requests {
        let request = request.clone();
        clients.push(tokio::spawn(async move {
            let mut connection = Connection::open(port).await;
            let mut times = Vec::new();
            while start.elapsed() < time {
                let asked = Instant::now();
                connection.expect(&request, status).await;
                times.push(asked.elapsed().as_secs_f64());
            }
            times
        }));
    }
    gather(start, clients).await
}

/// So many connections send these requests once each, the next one when the last is answered.
pub async fn once(port: u16, connections: usize, requests: Vec<Vec<u8>>, status: u16) -> Done {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(port).await);
    }
    let queue = Arc::new(std::sync::Mutex::new(requests.into_iter()));
    let start = Instant::now();
    let clients = open.into_iter().map(|mut connection| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let Some(request) = queue.lock().unwrap().next() else { return times };
                let asked = Instant::now();
                connection.expect(&request, status).await;
                times.push(asked.elapsed().as_secs_f64());
            }
        })
    });
    let clients = clients.collect();
    gather(start, clients).await
}

async fn gather(start: Instant, clients: Vec<tokio::task::JoinHandle<Vec<f64>>>) -> Done {
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.unwrap());
    }
    Done { wall: start.elapsed().as_secs_f64(), times }
}

/// Each connection's own request, again and again, on a schedule; see [`schedule`].
pub async fn open_loop(port: u16, requests: &[Vec<u8>], status: u16, rate: f64, time: Duration) -> (Done, f64) {
    let total = (time.as_secs_f64() * rate) as usize;
    let all = requests.iter().cloned().cycle().take(total).collect();
    schedule(port, requests.len(), all, status, rate).await
}

/// Requests leave on a schedule; each takes as long as it comes back after the time at which it should have left.
/// Also gives the share of requests that were given out more than 1 ms late: the generator was short of CPU.
pub async fn schedule(port: u16, connections: usize, requests: Vec<Vec<u8>>, status: u16, rate: f64) -> (Done, f64) {
    let generator = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(generate(port, connections, requests, status, rate))
    };
    tokio::task::spawn_blocking(generator).await.unwrap()
}

/// On one thread of its own: whoever gives out the work never waits for an answer, and never sleeps past its time.
async fn generate(port: u16, connections: usize, requests: Vec<Vec<u8>>, status: u16, rate: f64) -> (Done, f64) {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(port).await;
        let (give, mut take) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        let client = tokio::spawn(async move {
            let mut times = Vec::new();
            while let Some((due, request)) = take.recv().await {
                connection.expect(&request, status).await;
                times.push(due.elapsed().as_secs_f64());
            }
            times
        });
        clients.push((give, client));
    }
    let (start, step) = (Instant::now(), Duration::from_secs_f64(1.0 / rate));
    let (total, mut late) = (requests.len(), 0_u32);
    for (n, request) in requests.into_iter().enumerate() {
        let due = start + step * n as u32;
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        late += u32::from(due.elapsed() > Duration::from_millis(1));
        clients[n % connections].0.send((due, request)).unwrap();
    }
    let tasks = clients.into_iter().map(|(_, client)| client).collect();
    (gather(start, tasks).await, f64::from(late) / total.max(1) as f64)
}

/// As [`once`], until it is stopped; gives how many requests were not sent.
pub async fn until(port: u16, connections: usize, requests: Vec<Vec<u8>>, status: u16, stop: Arc<AtomicBool>) -> usize {
    let queue = Arc::new(std::sync::Mutex::new(requests.into_iter()));
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let (queue, stop) = (Arc::clone(&queue), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut connection = Connection::open(port).await;
                while !stop.load(Ordering::Relaxed) {
                    let Some(request) = queue.lock().unwrap().next() else { return };
                    connection.expect(&request, status).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    queue.lock().unwrap().len()
}
