//! LDAP on the wire: a proxy that shows a test every message of the server, to pass on, change, hold back or cut; and
//! servers that say whatever a test wants. Knows frames and result codes, and nothing of what they mean.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Pass,
    /// The connection ends without it.
    Cut,
    /// It waits, and everything behind it, until somebody looks otherwise.
    Hold,
}

/// Looks at a message of the server: the connection's number and the message's on it, both from 0.
type Look = Box<dyn FnMut(usize, usize, &mut Message) -> Act + Send>;

/// A TCP proxy in front of a directory that speaks in clear.
pub struct Wire {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    look: Look,
    connections: usize,
    held: usize,
    open: Vec<TcpStream>,
}

impl Wire {
    /// Passes everything on.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { look: Box::new(|_, _, _| Act::Pass), connections: 0, held: 0, open: Vec::new() };
        let shared = Arc::new(Shared { target, state: Mutex::new(state), changed: Condvar::new() });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&served);
                let mut state = served.state.lock().unwrap();
                let number = state.connections;
                state.connections += 1;
                state.open.push(client.try_clone().unwrap());
                drop(state);
                thread::spawn(move || serve(&shared, &client, number));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// From now on messages are looked at so; those that are held are looked at again.
    pub fn look(&self, look: impl FnMut(usize, usize, &mut Message) -> Act + Send + 'static) {
        self.shared.state.lock().unwrap().look = Box::new(look);
        self.shared.changed.notify_all();
    }

    /// From now on everything is passed on.
    pub fn pass(&self) {
        self.look(|_, _, _| Act::Pass);
    }

    /// Ends every connection. New ones are as `look` says.
    pub fn cut(&self) {
        self.shared.state.lock().unwrap().open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// How many connections are held back now.
    pub fn held(&self) -> usize {
        self.shared.state.lock().unwrap().held
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.look(|_, _, _| Act::Cut);
        self.cut();
    }
}

fn serve(shared: &Shared, client: &TcpStream, number: usize) {
    if let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target)) {
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        pass_on(shared, server, client, number);
    }
    let _ = client.shutdown(Shutdown::Both);
}

fn pass_on(shared: &Shared, mut server: TcpStream, mut client: &TcpStream, number: usize) {
    let mut count = 0;
    while let Some(mut message) = Message::read(&mut server) {
        let mut state = shared.state.lock().unwrap();
        loop {
            match (state.look)(number, count, &mut message) {
                Act::Pass => break,
                Act::Cut => return,
                Act::Hold => {
                    state.held += 1;
                    state = shared.changed.wait(state).unwrap();
                    state.held -= 1;
                }
            }
        }
        drop(state);
        count += 1;
        if client.write_all(&message.0).is_err() {
            return;
        }
    }
}

/// One message, as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(pub Vec<u8>);

/// The tag of a search's result.
pub const DONE: u8 = 0x65;

impl Message {
    fn read(stream: &mut impl Read) -> Option<Self> {
        let mut bytes = vec![0; 2];
        stream.read_exact(&mut bytes).ok()?;
        if bytes[1] > 0x80 {
            let head = bytes.len() + usize::from(bytes[1] & 0x7f);
            bytes.resize(head, 0);
            stream.read_exact(&mut bytes[2..]).ok()?;
        }
        let (head, length) = header(&bytes);
        bytes.resize(head + length, 0);
        stream.read_exact(&mut bytes[head..]).ok()?;
        Some(Self(bytes))
    }

    /// Where the operation begins.
    fn operation(&self) -> usize {
        let (head, _) = header(&self.0);
        head + 2 + usize::from(self.0[head + 1])
    }

    /// The operation's tag.
    pub fn tag(&self) -> u8 {
        self.0[self.operation()]
    }

    /// Makes a result another one.
    pub fn set_code(&mut self, code: u8) {
        let at = self.operation();
        let (head, _) = header(&self.0[at..]);
        assert_eq!(self.0[at + head..at + head + 2], [0x0a, 1], "this is no result");
        self.0[at + head + 2] = code;
    }
}

/// The end of the search that this message belongs to, with this code.
pub fn ending(message: &Message, code: u8) -> Message {
    let (head, _) = header(&message.0);
    let number = &message.0[head..message.operation()];
    Message(ber(0x30, [number, &ber(DONE, [10, 1, code, 4, 0, 4, 0])].concat()))
}

/// How many bytes tag and length take, and how many what follows.
fn header(bytes: &[u8]) -> (usize, usize) {
    match bytes[1] {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            (2 + count, bytes[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
        }
    }
}

/// A server that does with every connection what a test says, until the connection's other end goes.
pub struct Fake {
    pub port: u16,
}

impl Fake {
    /// `serve` is given the way to the client and the connection's number. What the client says is not read.
    pub fn new(serve: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for (number, mut client) in listener.incoming().map_while(Result::ok).enumerate() {
                let serve = Arc::clone(&serve);
                // A connection that is closed with something unread takes back what was sent.
                let mut from = client.try_clone().unwrap();
                thread::spawn(move || drop(std::io::copy(&mut from, &mut std::io::sink())));
                thread::spawn(move || {
                    serve(&mut client, number);
                    let _ = client.shutdown(Shutdown::Write);
                });
            }
        });
        Self { port }
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }
}

/// An element.
pub fn ber(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ ..0x80) => bytes.push(short),
        _ => {
            bytes.push(0x84);
            bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// A message with this number and operation.
pub fn message(id: u8, operation: impl AsRef<[u8]>) -> Vec<u8> {
    ber(0x30, [&[2, 1, id], operation.as_ref()].concat())
}

/// A result: of a bind (0x61), of a search (`DONE`), of something extended (0x78).
pub fn result(id: u8, tag: u8, code: u8) -> Vec<u8> {
    message(id, ber(tag, [10, 1, code, 4, 0, 4, 0]))
}

/// An entry; every attribute with its values.
pub fn entry(id: u8, dn: &str, attributes: &[(&str, &[&str])]) -> Vec<u8> {
    let attribute = |(name, values): &(&str, &[&str])| {
        let values: Vec<u8> = values.iter().flat_map(|value| ber(4, value)).collect();
        ber(0x30, [ber(4, name), ber(0x31, values)].concat())
    };
    let attributes: Vec<u8> = attributes.iter().flat_map(attribute).collect();
    message(id, ber(0x64, [ber(4, dn), ber(0x30, attributes)].concat()))
}

/// What an OpenLDAP without pages and without RFC 4533 answers to a bind (1) and to what it is (2).
pub fn greeting() -> Vec<u8> {
    let root = entry(2, "", &[("objectClass", &["top", "OpenLDAProotDSE"])]);
    [result(1, 0x61, 0), root, result(2, DONE, 0)].concat()
}
