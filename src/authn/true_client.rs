//! Who the client is behind what stands before this server. Only what the operator called trusted is believed, and of
//! that only one header; whoever else says something is not listened to. Pure: no lookup, no clock.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What stands before this server. By default nothing: whoever connects is the client.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// Whose word about the client is taken.
    pub trusted: Vec<IpNet>,
    /// The header in which they name it.
    pub header: Option<ClientHeader>,
    /// Whether their connections begin with a PROXY protocol header, which names the peer.
    pub proxy_protocol: bool,
}

/// The one header in which trusted proxies name their client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientHeader {
    /// `X-Forwarded-For`: each proxy adds at the end whom it was asked by.
    ForwardedFor,
    /// `Forwarded` (RFC 7239): the same, as `for=`.
    Forwarded,
    /// Any other: one address, set anew by the proxy.
    Single(HeaderName),
}

/// What cannot be the address of a trusted proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// Neither an address nor a network.
    #[error("`{0}` is no address or network, as in \"10.0.0.7\" or \"10.0.0.0/8\"")]
    Form(String),
    /// It would let too many name any client.
    #[error(
        "`{0}` is too much to trust, as whoever connects from there could name any client: name the proxies' own addresses, or networks of at least /8, of IPv6 /16 or within fc00::/7"
    )]
    TooLarge(String),
}

/// The largest networks that are trusted. No site's own is larger, and a list of larger ones is soon everybody.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;
/// Addresses that only a site itself has (RFC 4193).
const UNIQUE_LOCAL: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7));

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Proxies {
    /// One entry of a list of trusted proxies: an address or a network.
    ///
    /// # Errors
    /// It is neither, or too large.
    pub fn parse_trusted(text: &str) -> Result<IpNet, InvalidProxy> {
        let shown = || text.escape_debug().to_string();
        let net = parse_network(text).ok_or_else(|| InvalidProxy::Form(shown()))?;
        let shortest = if matches!(net, IpNet::V4(_)) { SHORTEST_V4 } else { SHORTEST_V6 };
        let small = net.prefix_len() >= shortest || UNIQUE_LOCAL.contains(&net);
        if small { Ok(net) } else { Err(InvalidProxy::TooLarge(shown())) }
    }

    /// Whether an address is that of a trusted proxy.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }
}

impl FromStr for ClientHeader {
    type Err = http::header::InvalidHeaderName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name: HeaderName = text.parse()?;
        Ok(match () {
            () if name == FORWARDED_FOR => Self::ForwardedFor,
            () if name == FORWARDED => Self::Forwarded,
            () => Self::Single(name),
        })
    }
}

/// An address or a network, as in `10.0.0.7` and `10.0.0.0/8`.
#[must_use]
pub fn parse_network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    text.parse::<IpNet>().or_else(|_| address()).ok().map(|net| unmapped(net).trunc())
}

/// Peers are looked at as IPv4 where they are that, and so is a network that is written in IPv6.
fn unmapped(net: IpNet) -> IpNet {
    let v4 = |net: Ipv6Net| {
        let length = net.prefix_len().checked_sub(96)?;
        Ipv4Net::new(net.addr().to_ipv4_mapped()?, length).ok()
    };
    match net {
        IpNet::V6(net) => v4(net).map_or(IpNet::V6(net), IpNet::V4),
        IpNet::V4(_) => net,
    }
}

/// The address of whoever asked, as far as it can be believed: the peer, or where that is a trusted proxy the rightmost hop
/// of its header that is none. What cannot be read ends the search at the last proxy that is known: a client may write
/// into these headers what it likes, to the left of what a proxy adds.
#[must_use]
pub fn true_client(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> IpAddr {
    let mut client = peer.to_canonical();
    let Some(header) = proxies.header.as_ref().filter(|_| proxies.trusts(client)) else { return client };
    for hop in hops(headers, header) {
        let Some(hop) = hop else { break };
        client = hop;
        if !proxies.trusts(client) {
            break;
        }
    }
    client
}

/// Whom an address stands for where something is shared out: of IPv6 everybody has a network of 64 bits to choose from.
#[must_use]
pub fn host_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The network of a client, as far as it is one neighbourhood: an IPv4 /24, an IPv6 /48.
#[must_use]
pub fn network_of(client: IpAddr) -> IpNet {
    let client = client.to_canonical();
    let length = if client.is_ipv4() { 24 } else { 48 };
    IpNet::new(client, length).map_or_else(|_| client.into(), |net| net.trunc())
}

/// The hops that a header names, the nearest first; nothing for one that cannot be read.
fn hops<'a>(headers: &'a HeaderMap, header: &ClientHeader) -> Box<dyn Iterator<Item = Option<IpAddr>> + 'a> {
    match header {
        ClientHeader::ForwardedFor => {
            let lines = headers.get_all(FORWARDED_FOR).iter().rev();
            Box::new(lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(address)))
        }
        ClientHeader::Forwarded => {
            let lines = headers.get_all(FORWARDED).iter().rev();
            Box::new(lines.flat_map(|line| elements(line.to_str().unwrap_or_default()).map(node)))
        }
        ClientHeader::Single(name) => {
            let mut lines = headers.get_all(name).iter();
            // Of two nobody can say which is the proxy's.
            let only = lines.next().filter(|_| lines.next().is_none());
            Box::new(only.map(|line| address(line.to_str().unwrap_or_default())).into_iter())
        }
    }
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6);
    bare.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

/// The elements of a `Forwarded` line, the last first. Read from its end, so that a quote that a client left open swallows
/// nothing of what a proxy added.
fn elements(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let comma = text.char_indices().rev().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == ',' && !quoted
        });
        let (before, element) = match comma {
            Some((at, _)) => (text.get(..at), text.get(at + 1..)),
            None => (None, Some(text)),
        };
        rest = before;
        element
    })
}

/// The address that an element of `Forwarded` has as its one `for`; nothing for `unknown` and made-up names.
fn node(element: &str) -> Option<IpAddr> {
    let mut found = element.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for").then_some(value.trim_matches([' ', '\t']))
    });
    let value = found.next().filter(|_| found.next().is_none())?;
    let node = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    address(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(header: &str) -> Proxies {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"].map(|net| Proxies::parse_trusted(net).unwrap());
        Proxies { trusted: trusted.to_vec(), header: Some(header.parse().unwrap()), ..Proxies::default() }
    }

    fn client(peer: &str, header: &str, lines: &[(&str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        true_client(peer.parse().unwrap(), &headers, &proxies(header)).to_string()
    }

    #[test]
    fn the_client_is_the_rightmost_hop_that_is_not_trusted() {
        const XFF: &str = "x-forwarded-for";
        for (peer, lines, expected) in [
            ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.1.1.1,192.0.2.7"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9", "10.1.1.1"], "203.0.113.9"),
            ("10.0.0.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("2001:db8:1::5", &["2001:db8:2::9"], "2001:db8:2::9"),
            ("10.0.0.1", &["[2001:db8:2::9]:4711"], "2001:db8:2::9"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            // What cannot be read is not believed, nor what stands to the left of it.
            ("10.0.0.1", &["203.0.113.9, junk"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, junk, 10.1.1.1"], "10.1.1.1"),
            ("10.0.0.1", &["203.0.113.9,"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9 198.51.100.1"], "10.0.0.1"),
            ("10.0.0.1", &["3405803777"], "10.0.0.1"),
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // Whoever is not trusted names nobody.
            ("203.0.113.1", &["198.51.100.1"], "203.0.113.1"),
            ("192.0.2.8", &["198.51.100.1"], "192.0.2.8"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (XFF, *line)).collect();
            assert_eq!(client(peer, "X-Forwarded-For", &lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        for (line, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("for=198.51.100.1, for=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
            ("proto=https; FOR=\"203.0.113.9:4711\"", "203.0.113.9"),
            ("for=203.0.113.9, for=\"[2001:db8:1::7]:80\"", "203.0.113.9"),
            ("for=\"[2001:db8:2::7]\"", "2001:db8:2::7"),
            // An open quote of a client swallows nothing.
            ("for=\", for=203.0.113.9", "203.0.113.9"),
            ("for=198.51.100.1;x=\"\\\", for=\"203.0.113.9\"", "203.0.113.9"),
            ("for=\"198.51.100.1, for=203.0.113.9\"", "10.0.0.1"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden, for=10.1.1.1", "10.1.1.1"),
            ("for=203.0.113.9;for=198.51.100.1", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
            ("203.0.113.9", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", "Forwarded", &[("forwarded", line)]), expected, "{line}");
        }
    }

    #[test]
    fn a_header_of_one_address_is_believed_only_alone_and_no_other_header_counts() {
        for (lines, expected) in [
            (&[("x-real-ip", "203.0.113.9")][..], "203.0.113.9"),
            (&[("x-real-ip", "203.0.113.9"), ("x-real-ip", "203.0.113.8")], "10.0.0.1"),
            (&[("x-real-ip", "203.0.113.9, 203.0.113.8")], "10.0.0.1"),
            (&[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", "X-Real-IP", lines), expected, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "203.0.113.9".parse().unwrap());
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(true_client(peer, &headers, &Proxies::default()), peer, "by default nobody is trusted");
        let unnamed = Proxies { header: None, ..proxies("x") };
        assert_eq!(true_client(peer, &headers, &unnamed), peer, "without a header nobody is named");
    }

    #[test]
    fn a_network_of_ipv4_that_is_written_in_ipv6_is_the_same_network() {
        for text in ["10.0.0.0/8", "::ffff:10.0.0.0/104", "::ffff:10.1.2.3"] {
            let proxies = Proxies { trusted: vec![Proxies::parse_trusted(text).unwrap()], ..Proxies::default() };
            assert!(proxies.trusts("10.1.2.3".parse().unwrap()), "{text}");
            assert!(!proxies.trusts("11.1.2.3".parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_host() {
        let of = |text: &str| host_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn nobody_trusts_everybody_nor_half_of_them() {
        for (text, good) in [
            ("10.0.0.0/8", true),
            ("0.0.0.0/1", false),
            ("128.0.0.0/1", false),
            ("10.0.0.0/7", false),
            ("::ffff:0.0.0.0/97", false),
            ("::ffff:10.0.0.0/104", true),
            ("2000::/3", false),
            ("2001::/15", false),
            ("2001:db8::/16", true),
            ("fc00::/7", true),
            ("fd00::/8", true),
            ("fc00::/6", false),
            ("10.0.0.7", true),
            ("::1", true),
            ("2001:db8::/32", true),
            ("0.0.0.0/0", false),
            ("::/0", false),
            ("::ffff:0.0.0.0/96", false),
            ("10.0.0.0/33", false),
            ("proxy.example.com", false),
            ("", false),
        ] {
            assert_eq!(Proxies::parse_trusted(text).is_ok(), good, "{text}");
        }
    }
}
