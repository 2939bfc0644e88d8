//! Which addresses are in the public Internet.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range of addresses, such as `10.1.0.0/16` or `fd00::/8`.
///
/// It has one spelling: no bits are set after the prefix, whose length is a decimal number, and IPv4 addresses are written as
/// such. Another one would match less, or something else, than its writer thinks.
///
/// ```
/// use ipvm_did_web::Network;
///
/// let intranet: Network = "10.1.0.0/16".parse()?;
/// assert!(intranet.contains("10.1.2.3".parse()?));
/// assert!(!intranet.contains("10.2.0.0".parse()?));
/// assert!("10.1.0.0/33".parse::<Network>().is_err());
/// assert!("10.1.2.0/16".parse::<Network>().is_err());
/// assert!("::ffff:10.1.0.0/112".parse::<Network>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether an address is in the range. An IPv4 address is the same one when it is written as IPv6 (`::ffff:10.1.2.3`).
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_prefix(own.to_bits().into(), other.to_bits().into(), self.prefix, 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same_prefix(own.to_bits(), other.to_bits(), self.prefix, 128),
            _ => false,
        }
    }
}

/// Whether the first `prefix` of `bits` bits are equal.
fn same_prefix(a: u128, b: u128, prefix: u32, bits: u32) -> bool {
    // Shifting by all 128 bits would overflow; what is left then is nothing.
    (a ^ b).checked_shr(bits - prefix).unwrap_or(0) == 0
}

impl From<IpAddr> for Network {
    /// One address.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, digits) = text.split_once('/').ok_or(NetworkError)?;
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let prefix: u32 = digits.parse().map_err(|_| NetworkError)?;
        let (bits, ones) = match address {
            IpAddr::V4(address) => (32, address.to_bits().into()),
            IpAddr::V6(address) => (128, address.to_bits()),
        };
        // Nothing matches an IPv4 address that is written as IPv6: they are compared in their own form.
        let is_mapped = address.to_canonical() != address;
        if prefix > bits || prefix.to_string() != digits || is_mapped {
            return Err(NetworkError);
        }
        // All bits are after a prefix of none.
        let after = 1_u128.checked_shl(bits - prefix).map_or(u128::MAX, |bit| bit - 1);
        if ones & after == 0 { Ok(Self { address, prefix }) } else { Err(NetworkError) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A text that is not a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address, `/` and the length of the prefix in bits, after which no bits are set")]
pub struct NetworkError;

/// IPv4 that is not in the public Internet (the IANA registry of special-purpose addresses).
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Of the IPv6 addresses that are handed out (`2000::/3`), those that are not in the public Internet: protocol assignments with
/// Teredo, documentation.
const SPECIAL_V6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const GLOBAL_V6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
const SIX_TO_FOUR: Ipv6Addr = Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0);
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// The IPv4 address that an IPv6 address stands for: mapped, by the well-known prefix of NAT64, or 6to4; any other is itself.
pub(crate) fn stands_for(address: IpAddr) -> IpAddr {
    let address = match address.to_canonical() {
        IpAddr::V4(address) => return address.into(),
        IpAddr::V6(address) => address,
    };
    let within = |range: Ipv6Addr, prefix| same_prefix(range.to_bits(), address.to_bits(), prefix, 128);
    let embedded = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into();
    let [_, b, c, .., g, h] = address.segments();
    if within(NAT64, 96) {
        embedded(g, h)
    } else if within(SIX_TO_FOUR, 16) {
        embedded(b, c)
    } else {
        address.into()
    }
}

/// Whether an address is in the public Internet. One that stands for an IPv4 address is what that address is.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match stands_for(address) {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let within =
        |(range, prefix): &(Ipv4Addr, u32)| same_prefix(range.to_bits().into(), address.to_bits().into(), *prefix, 32);
    !SPECIAL_V4.iter().any(within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |range: Ipv6Addr, prefix| same_prefix(range.to_bits(), address.to_bits(), prefix, 128);
    within(GLOBAL_V6, 3) && !SPECIAL_V6.iter().any(|(range, prefix)| within(*range, *prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn what_is_not() {
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "3fff::1",
            "64:ff9b:1::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::192.168.1.1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2002:c0a8:101::",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn networks() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse::<IpAddr>().unwrap())
        };
        assert!(contains("0.0.0.0/0", "255.1.2.3"));
        assert!(contains("::/0", "ffff::"));
        assert!(!contains("::/0", "1.2.3.4"));
        assert!(contains("10.0.0.0/8", "::ffff:10.2.3.4"));
        assert!(contains("fd00::/8", "fd12::1"));
        assert!(!contains("fd00::/8", "fe12::1"));
        assert!(contains("127.0.0.1/32", "127.0.0.1"));
        assert!(!contains("127.0.0.1/32", "127.0.0.2"));
        let one = Network::from("::ffff:127.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(one.to_string(), "127.0.0.1/32");
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "x/8",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8 ",
            "10.0.0.1/8",
            "10.0.0.1/31",
            "1.0.0.0/0",
            "fd00::1/8",
            "::1/0",
            "::1/127",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1/128",
            "::ffff:0:0/96",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
        for good in ["0.0.0.0/0", "10.0.0.1/32", "10.0.0.2/31", "::/0", "8000::/1", "::1/128", "::2/127"] {
            assert_eq!(good.parse::<Network>().unwrap().to_string(), good);
        }
    }
}
