//! One connection to one server: TCP, TLS or StartTLS, messages framed and limited in size, every wait limited in time.
//! One operation at a time, so nothing is buffered that nobody waits for. Does not know what it asks, and never tries again.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::wire::{
    ber::{self, SEQUENCE},
    fault::{Fault, name},
    message::{Control, Entry, Message, Outcome, Reply, Request, Search},
    tls::{ClientIdentity, Handshake},
};

const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// How much room for messages a connection keeps when a large one was read.
const MAX_IDLE_BUFFER: usize = 1 << 20;

/// A server as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether TLS starts with the first byte (`ldaps`).
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "ldaps" } else { "ldap" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

impl std::str::FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Not repeated: it may be a password.
        if text.contains('@') {
            return Err(
                "a directory's address has no user and no password in it: `bind_dn` and `secret_file` say them"
                    .to_owned(),
            );
        }
        let wrong = || {
            format!(
                "`{}` is not a directory's address: ldaps://host or ldap://host, perhaps with :port",
                text.escape_debug()
            )
        };
        let (tls, rest) = match text.split_once("://").ok_or_else(wrong)? {
            ("ldaps", rest) => (true, rest),
            ("ldap", rest) => (false, rest),
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or_else(wrong)?;
                (host, after.strip_prefix(':').or(after.is_empty().then_some("")).ok_or_else(wrong)?)
            }
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = if port.is_empty() { if tls { 636 } else { 389 } } else { port.parse().map_err(|_| wrong())? };
        let known = ServerName::try_from(host.to_owned()).is_ok();
        if !known || port == 0 {
            return Err(wrong());
        }
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

/// What protects what is sent.
#[derive(Clone)]
pub enum Protection {
    /// TLS, from the first byte or by StartTLS. There is no way back from it to clear text.
    Tls(Handshake),
    /// Nothing, because the operator says so.
    Clear,
}

/// How long things may take and how large they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For TCP and TLS together.
    pub connect: Duration,
    /// For every answer, also for every single one of a long search.
    pub answer: Duration,
    /// For one message, in bytes.
    pub message: usize,
    /// For everything that one search gives, over all its pages, in bytes. A server may go on for ever.
    pub search: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(30), message: 64 << 20, search: 512 << 20 }
    }
}

/// How much is read at once.
const READ_CHUNK: usize = 64 * 1024;

/// Who we are to the directory.
#[derive(Debug, Clone)]
pub enum Bind {
    /// A name and a password; never an empty one.
    Simple(String, SecretString),
    /// The client certificate says it (SASL EXTERNAL).
    External,
    /// Nobody.
    Anonymous,
}

impl Bind {
    /// The account, as an operator knows it.
    pub fn account(&self) -> &str {
        match self {
            Self::Simple(dn, _) => dn,
            Self::External => "the client certificate's account",
            Self::Anonymous => "anonymous",
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

/// An open connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    url: Url,
    limits: Limits,
    buffer: Vec<u8>,
    /// Where in it the first message begins that was not given out.
    begin: usize,
    last: i64,
    certificate: Option<Vec<u8>>,
    /// Our certificate, until the server has said a word: that it lets us in shows in its first answer.
    ours: Option<Arc<ClientIdentity>>,
    /// How many bytes of messages came.
    bytes_received: u64,
    /// What to do about a limit of this server, by the result code that names it.
    advice: Vec<(u32, String)>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.url)
    }
}

/// One thing of a search's answer.
#[derive(Debug)]
pub enum SearchItem {
    Entry(Entry, Vec<Control>),
    Intermediate(Option<String>, Option<Vec<u8>>),
    Reference,
    Done(Outcome, Vec<Control>),
}

impl Connection {
    /// Connects and secures the connection; does not bind.
    pub async fn open(url: &Url, protection: &Protection, limits: Limits) -> Result<Self, Fault> {
        let opened = timeout(limits.connect, Self::connect(url, protection, limits)).await;
        opened.unwrap_or_else(|_| Err(Fault::Unreachable(format!("{url}: no connection within {:?}", limits.connect))))
    }

    async fn connect(url: &Url, protection: &Protection, limits: Limits) -> Result<Self, Fault> {
        let unreachable = |error: std::io::Error| Fault::Unreachable(format!("{url}: {error}"));
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        keep_alive(&stream);
        let peer = stream.peer_addr().ok();
        let plain = Self {
            stream: Box::new(tokio::io::empty()),
            url: url.clone(),
            limits,
            buffer: Vec::new(),
            begin: 0,
            last: 0,
            certificate: None,
            ours: None,
            bytes_received: 0,
            advice: Vec::new(),
        };
        match (protection, url.tls) {
            (Protection::Clear, false) => Ok(Self { stream: Box::new(stream), ..plain }),
            (Protection::Clear, true) => Err(Fault::Untrusted(format!("{url} speaks TLS, and no TLS is configured"))),
            (Protection::Tls(handshake), true) => plain.secure(stream, handshake, peer).await,
            (Protection::Tls(handshake), false) => {
                let stream = plain.start_tls(stream).await?;
                plain.secure(stream, handshake, peer).await
            }
        }
    }

    /// Asks for TLS on a clear connection. Whatever is not a plain yes ends it here.
    async fn start_tls(&self, stream: TcpStream) -> Result<TcpStream, Fault> {
        // Read byte by byte: what follows the answer belongs to the handshake, and whatever somebody put there before
        // it is not taken for an answer of the protected connection.
        let mut stream = stream;
        let url = &self.url;
        let lost = |error: std::io::Error| Fault::Unreachable(format!("{url}: lost during StartTLS: {error}"));
        stream.write_all(&Request::Extended { oid: START_TLS }.encode(1, &[])).await.map_err(lost)?;
        let mut bytes = Vec::new();
        let content = loop {
            let byte = stream.read_u8().await.map_err(lost)?;
            bytes.push(byte);
            if bytes.len() > 4096 {
                return Err(Fault::Malformed(format!("{url}: the answer to StartTLS is too long")));
            }
            if let Some((tag, head, length)) = ber::header(&bytes)? {
                if tag != SEQUENCE || length > 4096 {
                    return Err(Fault::Malformed(format!("{url}: this is not LDAP")));
                }
                if bytes.len() == head + length {
                    break bytes.get(head..).unwrap_or_default();
                }
            }
        };
        match Message::decode(content)?.reply {
            Reply::Extended(Outcome { code: 0, .. }, _) => Ok(stream),
            Reply::Extended(outcome, _) => Err(Fault::Untrusted(format!(
                "{url} refuses StartTLS: {} ({}){}; nothing was sent in clear",
                outcome.code,
                name(outcome.code),
                said(&outcome)
            ))),
            _ => Err(Fault::Malformed(format!("{url}: StartTLS is answered with something else"))),
        }
    }

    async fn secure(
        self,
        stream: TcpStream,
        Handshake { config, ours }: &Handshake,
        peer: Option<SocketAddr>,
    ) -> Result<Self, Fault> {
        let url = &self.url;
        let host = ServerName::try_from(url.host.clone())
            .map_err(|_| Fault::Untrusted(format!("{url}: no certificate can be made out to this name")))?;
        let connected = TlsConnector::from(Arc::clone(config)).connect(host, stream).await;
        let tls = connected.map_err(|error| {
            if let Some(why) = ours.refusal(&error, false) {
                return Fault::Uncertified(format!("{url}: {why}"));
            }
            let at = peer.map_or_else(String::new, |peer| format!(" ({peer})"));
            match error.kind() {
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::Other => {
                    Fault::Untrusted(format!("{url}{at}: {}", crate::wire::tls::explain(&error)))
                }
                _ => Fault::Unreachable(format!("{url}{at}: lost during the TLS handshake: {error}")),
            }
        })?;
        let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
        Ok(Self { stream: Box::new(tls), certificate: shown, ours: Some(Arc::clone(ours)), ..self })
    }

    /// Where it leads.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How long things may take here, and how large they may be.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many bytes of messages came so far.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// The certificate that the server showed.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Says who we are. An empty password never gets here as a bind: servers take it for nobody and say yes.
    pub async fn bind(&mut self, bind: &Bind) -> Result<(), Fault> {
        let (dn, request) = match bind {
            Bind::Anonymous => return Ok(()),
            Bind::External => ("the client certificate", Request::BindExternal),
            Bind::Simple(dn, password) => {
                let password = password.expose_secret();
                if dn.trim().is_empty() || password.trim().is_empty() || password.contains('\0') {
                    let why = "the password or the name is empty; that would be nobody's bind, and nothing was sent"
                        .to_owned();
                    return Err(Fault::Unauthorised { dn: dn.clone(), why });
                }
                (dn.as_str(), Request::Bind { dn, password: password.as_bytes() })
            }
        };
        let id = self.send(&request, &[]).await?;
        match self.receive(id).await?.reply {
            Reply::Bound(Outcome { code: 0, .. }) => Ok(()),
            // authMethodNotSupported, inappropriateAuthentication, invalidCredentials
            Reply::Bound(outcome @ Outcome { code: 7 | 48 | 49, .. }) if matches!(bind, Bind::External) => {
                Err(Fault::Unauthorised {
                    dn: dn.to_owned(),
                    why: format!(
                        "{} ({}){}; it must ask for certificates (OpenLDAP: TLSVerifyClient) and know whose ours is \
                         (authz-regexp); or write `bind_dn` and `secret_file`",
                        outcome.code,
                        name(outcome.code),
                        said(&outcome)
                    ),
                })
            }
            // authMethodNotSupported, constraintViolation (a lock), noSuchObject, invalidDNSyntax, inappropriateAuthentication,
            // invalidCredentials, insufficientAccessRights, unwillingToPerform: it is about who we say that we are.
            Reply::Bound(outcome @ Outcome { code: 7 | 19 | 32 | 34 | 48 | 49 | 50 | 53, .. }) => {
                Err(Fault::Unauthorised {
                    dn: dn.to_owned(),
                    why: format!("{} ({}){}", outcome.code, name(outcome.code), said(&outcome)),
                })
            }
            // Anything else is no answer to the question: busy, a limit, TLS that is missing.
            Reply::Bound(outcome) => Err(self.refused("the bind", &outcome)),
            _ => Err(Fault::Malformed(format!("{}: a bind is answered with something else", self.url))),
        }
    }

    /// Binds with somebody's password, and gives whatever the server answers to it. Never called with an empty one.
    pub async fn try_password(
        &mut self,
        dn: &str,
        password: &SecretString,
        controls: &[Control],
    ) -> Result<(Outcome, Vec<Control>), Fault> {
        let request = Request::Bind { dn, password: password.expose_secret().as_bytes() };
        let id = self.send(&request, controls).await?;
        let message = self.receive(id).await?;
        match message.reply {
            Reply::Bound(outcome) => Ok((outcome, message.controls)),
            _ => Err(Fault::Malformed(format!("{}: a bind is answered with something else", self.url))),
        }
    }

    /// Starts a search; `next` gives what comes.
    pub async fn search(&mut self, search: &Search, controls: &[Control]) -> Result<i64, Fault> {
        self.send(&Request::Search(search), controls).await
    }

    /// The next thing of a search's answer, within the time for an answer.
    pub async fn next(&mut self, id: i64) -> Result<SearchItem, Fault> {
        item(self.receive(id).await?, &self.url)
    }

    /// The same for a search without an end: waits as long as it takes. Safe to drop while it waits.
    pub async fn next_unbounded(&mut self, id: i64) -> Result<SearchItem, Fault> {
        item(self.read(id).await?, &self.url)
    }

    /// Ends the connection as a client should.
    pub async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.send(&Request::Unbind, &[])).await;
    }

    /// What a search that ends with one of these codes is to be answered with, for the operator.
    pub fn set_advice(&mut self, advice: Vec<(u32, String)>) {
        self.advice = advice;
    }

    /// A result that is no success, as a fault.
    pub fn refused(&self, what: &str, outcome: &Outcome) -> Fault {
        let advice = self.advice.iter().find(|(code, _)| *code == outcome.code);
        let advice = advice.map_or_else(String::new, |(_, advice)| format!("; {advice}"));
        let said = format!("{}{advice}", said(outcome));
        Fault::Refused { what: format!("{} at {}", what, self.url), code: outcome.code, said }
    }

    async fn send(&mut self, request: &Request<'_>, controls: &[Control]) -> Result<i64, Fault> {
        self.last += 1;
        let bytes = request.encode(self.last, controls);
        let write = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        match timeout(self.limits.answer, write).await {
            Ok(Ok(())) => Ok(self.last),
            Ok(Err(error)) => {
                // What the server said before it went is worth more than that it went.
                let last = timeout(Duration::from_secs(1), self.stream.read(&mut [0; 1024])).await;
                Err(self.lost(&last.ok().and_then(Result::err).unwrap_or(error)))
            }
            Err(_) => Err(Fault::Unreachable(format!("{}: takes nothing for {:?}", self.url, self.limits.answer))),
        }
    }

    async fn receive(&mut self, id: i64) -> Result<Message, Fault> {
        let limit = self.limits.answer;
        match timeout(limit, self.read(id)).await {
            Ok(read) => read,
            Err(_) => Err(Fault::Unreachable(format!("{}: no answer for {limit:?}", self.url))),
        }
    }

    /// The next message that answers `id`. All state is in `self`, so it may be dropped and called again.
    async fn read(&mut self, id: i64) -> Result<Message, Fault> {
        loop {
            let mut missing = 1;
            while let Some((tag, head, length)) = ber::header(self.buffer.get(self.begin..).unwrap_or_default())? {
                if tag != SEQUENCE {
                    return Err(Fault::Malformed(format!("{}: this is not LDAP", self.url)));
                }
                if length > self.limits.message {
                    let most = self.limits.message;
                    return Err(Fault::Malformed(format!(
                        "{}: a message of {length} bytes; at most {most} are taken",
                        self.url
                    )));
                }
                let end = self.begin + head + length;
                let Some(content) = self.buffer.get(self.begin + head..end) else {
                    missing = end - self.buffer.len();
                    break;
                };
                let message = Message::decode(content);
                self.begin = end;
                self.bytes_received += (head + length) as u64;
                self.ours = None;
                let message = message.map_err(|error| Fault::Malformed(format!("{}: {error}", self.url)))?;
                if message.id == id {
                    return Ok(message);
                }
                if message.id == 0 {
                    let why = match message.reply {
                        Reply::Extended(outcome, _) => {
                            format!("{} ({}){}", outcome.code, name(outcome.code), said(&outcome))
                        }
                        _ => "without a reason".to_owned(),
                    };
                    return Err(Fault::Unreachable(format!("{}: the server ends the connection: {why}", self.url)));
                }
                // An answer to something that was given up.
            }
            if self.begin > 0 {
                self.buffer.drain(..std::mem::take(&mut self.begin));
                self.buffer.shrink_to(MAX_IDLE_BUFFER);
            }
            // Room for a message is made once, when it is announced: growing by doubles would hold it twice. What is only
            // announced is no memory yet.
            if self.buffer.capacity() - self.buffer.len() < missing {
                self.buffer.reserve_exact(missing.max(READ_CHUNK));
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(self.lost(&std::io::Error::other("the connection was cut"))),
                Ok(_) => {}
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    /// What it means that the connection broke.
    fn lost(&self, error: &std::io::Error) -> Fault {
        match self.ours.as_ref().and_then(|ours| ours.refusal(error, true)) {
            Some(why) => Fault::Uncertified(format!("{}: {why}", self.url)),
            None => Fault::Unreachable(format!("{}: the connection is lost: {error}", self.url)),
        }
    }
}

fn item(message: Message, url: &Url) -> Result<SearchItem, Fault> {
    match message.reply {
        Reply::Entry(entry) => Ok(SearchItem::Entry(entry, message.controls)),
        Reply::Intermediate(name, value) => Ok(SearchItem::Intermediate(name, value)),
        Reply::Reference => Ok(SearchItem::Reference),
        Reply::Done(outcome) => Ok(SearchItem::Done(outcome, message.controls)),
        Reply::Bound(_) | Reply::Extended(..) | Reply::Other => {
            Err(Fault::Malformed(format!("{url}: a search is answered with something else")))
        }
    }
}

fn said(outcome: &Outcome) -> String {
    if outcome.message.is_empty() { String::new() } else { format!(": {}", outcome.message) }
}

/// A server that vanished without a word is noticed also while nothing is asked.
fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(30));
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10));
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read from a server that sends this and ends, and how much of it was kept.
    fn sent(bytes: &'static [u8]) -> (Result<Message, Fault>, usize) {
        use futures_util::FutureExt as _;
        let mut connection = Connection {
            stream: Box::new(tokio::io::join(bytes, tokio::io::sink())),
            url: "ldap://x".parse().unwrap(),
            limits: Limits::default(),
            buffer: Vec::new(),
            begin: 0,
            last: 1,
            certificate: None,
            ours: None,
            bytes_received: 0,
            advice: Vec::new(),
        };
        let read = connection.read(1).now_or_never().unwrap();
        (read, connection.buffer.len())
    }

    #[test]
    fn a27_a_message_that_says_that_it_has_more_than_64_mib_is_refused_before_it_is_read() {
        // One byte more than 64 MiB, 4 GiB, and half of all memory.
        let most: &[u8] = &[SEQUENCE, 0x84, 0x04, 0, 0, 0];
        let more: [&[u8]; 3] = [
            &[SEQUENCE, 0x84, 0x04, 0, 0, 1],
            &[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[SEQUENCE, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ];
        for bytes in more {
            let (read, kept) = sent(bytes);
            assert!(matches!(&read, Err(Fault::Malformed(why)) if why.contains("at most 67108864")), "{read:?}");
            assert_eq!(kept, bytes.len());
        }
        let (read, kept) = sent(most);
        assert!(matches!(&read, Err(Fault::Unreachable(why)) if why.contains("was cut")), "{read:?}");
        assert_eq!(kept, most.len(), "nothing is set aside for what has not come");
    }

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("ldaps://dc1.ex.test", "ldaps://dc1.ex.test:636"),
            ("ldap://10.0.0.1/", "ldap://10.0.0.1:389"),
            ("ldap://[::1]:3890", "ldap://[::1]:3890"),
            ("ldaps://h:1", "ldaps://h:1"),
        ] {
            assert_eq!(text.parse::<Url>().map(|url| url.to_string()).as_deref(), Ok(shown));
        }
        for text in [
            "",
            "dc1",
            "http://x",
            "ldap://",
            "ldap://x:y",
            "ldap://x:0",
            "ldap://x/dc=y",
            "ldaps://[::1",
            "ldap://a b",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
