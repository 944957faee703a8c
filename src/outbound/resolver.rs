//! Looks names up, and gives only addresses that may be asked: what is connected to is what was looked at.

use std::{io, net::IpAddr, net::SocketAddr, sync::Arc};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::is_public;

/// An address is neither public nor in one of the allowed networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is a private address, and in none of the networks that are allowed")]
pub(crate) struct PrivateAddress {
    pub address: IpAddr,
}

/// Which addresses may be asked.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    private: Arc<[IpNet]>,
}

impl Addresses {
    /// Public ones, and those in these networks.
    pub fn with(private: &[IpNet]) -> Self {
        Self { private: private.into() }
    }

    pub fn check(&self, address: IpAddr) -> Result<(), PrivateAddress> {
        let address = address.to_canonical();
        let allowed = is_public(address) || self.private.iter().any(|net| net.contains(&address));
        if allowed { Ok(()) } else { Err(PrivateAddress { address }) }
    }
}

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (mut allowed, mut refused) = (Vec::new(), None);
            for address in found {
                match addresses.check(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(error) => refused = Some(error),
                }
            }
            match (allowed.is_empty(), refused) {
                (true, Some(refused)) => Err(refused.into()),
                (true, None) => Err(io::Error::other("the name has no address").into()),
                (false, _) => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}
