//! The header of the PROXY protocol, versions 1 and 2, with which a proxy that passes connections on says whose they are.
//! Reads exactly the header, so that what follows is the client's first byte. Whether a peer may send one is not known here.

use std::{io, net::SocketAddr};

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The first bytes of version 2. No header of version 1 is as short.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What follows the signature up to the length of the rest.
const V2_FIXED: usize = 16;
/// More than addresses and what load balancers add to them.
const V2_MAX_REST: usize = 2048;
/// The longest header of version 1.
const V1_MAX: usize = 107;

/// Whose connection it is; nothing where the proxy speaks for itself, as in a health check.
///
/// # Errors
/// There is no header, or it cannot be read.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; V2_SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == V2_SIGNATURE { read_v2(stream, header).await } else { read_v1(stream, header).await }
}

async fn read_v2(stream: &mut (impl AsyncRead + Unpin), mut header: Vec<u8>) -> io::Result<Option<SocketAddr>> {
    let mut fixed = [0; V2_FIXED - V2_SIGNATURE.len()];
    stream.read_exact(&mut fixed).await?;
    header.extend_from_slice(&fixed);
    let [_, _, high, low] = fixed;
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > V2_MAX_REST {
        return Err(invalid("it is too long"));
    }
    header.resize(V2_FIXED + rest, 0);
    stream.read_exact(header.get_mut(V2_FIXED..).unwrap_or_default()).await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|error| invalid(&error.to_string()))?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Local, _) | (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(of)) => Some((of.source_address, of.source_port).into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(of)) => Some((of.source_address, of.source_port).into()),
    })
}

async fn read_v1(stream: &mut (impl AsyncRead + Unpin), mut line: Vec<u8>) -> io::Result<Option<SocketAddr>> {
    if !line.starts_with(b"PROXY ") {
        return Err(invalid("there is none"));
    }
    while !line.ends_with(b"\r\n") {
        if line.len() >= V1_MAX {
            return Err(invalid("it is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    let header = v1::Header::try_from(line.as_slice()).map_err(|error| invalid(&error.to_string()))?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(of) => Some((of.source_address, of.source_port).into()),
        v1::Addresses::Tcp6(of) => Some((of.source_address, of.source_port).into()),
    })
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the PROXY protocol header cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = V2_SIGNATURE.to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        header.extend(addresses);
        header
    }

    #[tokio::test]
    async fn exactly_the_header_is_read_and_says_whose_the_connection_is() {
        let ipv4 = [203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0, 80];
        let mut ipv6 = [0; 36];
        ipv6[0..2].copy_from_slice(&[0x20, 0x01]);
        ipv6[15] = 9;
        let mut with_more = ipv4.to_vec();
        with_more.extend([3, 0, 1, 7]);
        for (header, expected) in [
            (b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n".to_vec(), Some("203.0.113.9:4711")),
            (b"PROXY TCP6 2001::9 2001::1 4711 80\r\n".to_vec(), Some("[2001::9]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(1, 0x11, &ipv4), Some("203.0.113.9:4711")),
            (v2(1, 0x11, &with_more), Some("203.0.113.9:4711")),
            (v2(1, 0x21, &ipv6), Some("[2001::9]:0")),
            (v2(0, 0x11, &ipv4), None),
            (v2(0, 0, &[]), None),
        ] {
            let mut bytes = header.clone();
            bytes.extend(b"GET / HTTP/1.1");
            let mut stream = bytes.as_slice();
            let found = read(&mut stream).await.unwrap();
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{header:?}");
            assert_eq!(stream, b"GET / HTTP/1.1", "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
        let mut huge = V2_SIGNATURE.to_vec();
        huge.extend([0x21, 0x11, 0xff, 0xff]);
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".as_slice(),
            b"PROXY TCP4 203.0.113.9\r\n",
            b"PROXY TCP4 203.0.113.999 192.0.2.1 4711 80\r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80",
            b"",
            long.as_bytes(),
            &huge,
            &v2(1, 0x11, &[1, 2, 3]),
        ] {
            assert!(read(&mut &*bytes).await.is_err(), "{bytes:?}");
        }
    }
}
