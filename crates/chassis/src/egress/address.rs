//! Which addresses are public, and which private ones an operator permits.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 networks nobody on the public internet can be reached at: the IANA special-purpose address registry
/// (RFC 6890 and what updates it), multicast and the reserved space.
const NOT_PUBLIC_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    v4([255, 255, 255, 255], 32),
];

/// Where IPv6 hands out public addresses (RFC 4291).
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What in it is not public: protocol assignments with Teredo, benchmarking and ORCHID, documentation, 6to4.
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// IPv4 addresses as a network that has only IPv6 reaches them (RFC 6052).
const NAT64: Ipv6Net = v6([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from_octets(octets), length)
}

const fn v6(segments: [u16; 8], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), length)
}

/// Whether anybody on the internet could reach the address as well.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !NOT_PUBLIC_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) if NAT64.contains(&ip) => {
            let [.., a, b, c, d] = ip.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(ip) => {
            PUBLIC_V6.contains(&ip) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&ip))
        }
    }
}

/// What may be called although it is not public: an address (`10.1.2.3`), a network (`10.0.0.0/8`, `fd00::/8`), or a
/// host's name, wherever it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// These addresses.
    Net(IpNet),
    /// The host of this name, in lower case.
    Host(String),
}

/// A text that names nothing to permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address, no network such as 10.0.0.0/8 and no host's name")]
pub struct PermitError(String);

impl Permit {
    pub(super) fn names(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        matches!(self, Self::Host(name) if name.eq_ignore_ascii_case(host))
    }

    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        matches!(self, Self::Net(net) if net.contains(&ip.to_canonical()))
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

impl FromStr for Permit {
    type Err = PermitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PermitError(text.to_owned());
        let text = text.trim();
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Net(ip.to_canonical().into()));
        }
        if text.contains('/') {
            return text.parse().map(Self::Net).map_err(|_| error());
        }
        match url::Host::parse(text) {
            Ok(url::Host::Domain(name)) if name.bytes().all(is_of_name) => Ok(Self::Host(name)),
            Ok(url::Host::Ipv6(ip)) => Ok(Self::Net(IpAddr::from(ip).into())),
            _ => Err(error()),
        }
    }
}
