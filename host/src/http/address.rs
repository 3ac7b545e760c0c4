//! Which addresses are public. A name that an operator granted may still resolve to one that is not: to the metadata
//! service of a cloud, to the host itself, to the network behind it. Pure: an address in, a reason out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why an address is not public; nothing if it is. Addresses of IPv6 that stand for one of IPv4 are what that is.
#[must_use]
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

/// Whether a connection may be made to an address: it is public, or in one of the blocks that are granted.
pub fn check(address: IpAddr, granted: &[IpNet]) -> Result<(), &'static str> {
    let Some(why) = not_public(address) else { return Ok(()) };
    let canonical = address.to_canonical();
    if granted.iter().any(|block| block.contains(&canonical) || block.contains(&address)) { Ok(()) } else { Err(why) }
}

const fn net4(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn net6(a: u16, b: u16, c: u16, len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), len)
}

/// The special blocks of IPv4, by IANA's registry. The first that fits names the reason.
const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (net4(0, 0, 0, 0, 8), "unspecified"),
    (net4(10, 0, 0, 0, 8), "private"),
    (net4(100, 64, 0, 0, 10), "carrier-grade NAT"),
    (net4(127, 0, 0, 0, 8), "loopback"),
    (net4(169, 254, 0, 0, 16), "link-local, where clouds have their metadata"),
    (net4(172, 16, 0, 0, 12), "private"),
    (net4(192, 0, 0, 0, 24), "reserved"),
    (net4(192, 0, 2, 0, 24), "for documentation"),
    (net4(192, 88, 99, 0, 24), "reserved"),
    (net4(192, 168, 0, 0, 16), "private"),
    (net4(198, 18, 0, 0, 15), "for benchmarks"),
    (net4(198, 51, 100, 0, 24), "for documentation"),
    (net4(203, 0, 113, 0, 24), "for documentation"),
    (net4(224, 0, 0, 0, 4), "multicast"),
    (net4(255, 255, 255, 255, 32), "broadcast"),
    (net4(240, 0, 0, 0, 4), "reserved"),
    // Public by its number, but it is the host agent of Azure, and answers its own guests only.
    (net4(168, 63, 129, 16, 32), "the metadata of a cloud"),
];

/// The special blocks of IPv6 within [`GLOBAL_V6`], and the best known without. The first that fits names the reason.
const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (net6(0xfe80, 0, 0, 10), "link-local"),
    (net6(0xfc00, 0, 0, 7), "private"),
    (net6(0xff00, 0, 0, 8), "multicast"),
    // Teredo among them, whose addresses lead wherever the one who made them wants.
    (net6(0x2001, 0, 0, 23), "reserved"),
    (net6(0x2001, 0xdb8, 0, 32), "for documentation"),
    (net6(0x3fff, 0, 0, 20), "for documentation"),
];

/// Where global unicast addresses are given out; all else is special, whatever it may become.
const GLOBAL_V6: Ipv6Net = net6(0x2000, 0, 0, 3);
/// Addresses of IPv4, mapped.
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
/// Addresses of IPv4, compatible; out of use, and `::` and `::1` are among them.
const COMPATIBLE: Ipv6Net = net6(0, 0, 0, 96);
/// Addresses of IPv4 behind the well-known prefix of NAT64.
const NAT64: Ipv6Net = net6(0x64, 0xff9b, 0, 96);
/// Networks of IPv4 hosts, 6to4.
const SIX_TO_FOUR: Ipv6Net = net6(0x2002, 0, 0, 16);

fn v4(address: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_V4.iter().find(|(block, _)| block.contains(&address)).map(|(_, why)| *why)
}

fn v6(address: Ipv6Addr) -> Option<&'static str> {
    let [_, a, b, .., y, z] = address.segments();
    if MAPPED.contains(&address) || NAT64.contains(&address) {
        return v4(embedded(y, z));
    }
    if SIX_TO_FOUR.contains(&address) {
        return v4(embedded(a, b));
    }
    if address.is_unspecified() {
        return Some("unspecified");
    }
    if address.is_loopback() {
        return Some("loopback");
    }
    if COMPATIBLE.contains(&address) {
        return Some(v4(embedded(y, z)).unwrap_or("reserved"));
    }
    let special = SPECIAL_V6.iter().find(|(block, _)| block.contains(&address)).map(|(_, why)| *why);
    special.or(if GLOBAL_V6.contains(&address) { None } else { Some("reserved") })
}

/// The address of IPv4 in two segments of one of IPv6.
fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn all_are(expected: Option<&str>, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(not_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        all_are(None, &["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"]);
        all_are(None, &["126.255.255.255", "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0"]);
        all_are(None, &["192.0.1.0", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255"]);
        all_are(None, &["2000::", "2001:200::1", "2606:4700::1111", "2a00:1450::1", "3ffe:ffff::1"]);
        all_are(None, &["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]);
    }

    #[test]
    fn special_addresses_of_ipv4_are_not() {
        all_are(Some("unspecified"), &["0.0.0.0", "0.255.255.255"]);
        all_are(Some("private"), &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1"]);
        all_are(Some("carrier-grade NAT"), &["100.64.0.0", "100.100.100.200", "100.127.255.255"]);
        all_are(Some("loopback"), &["127.0.0.1", "127.255.255.255"]);
        all_are(Some("link-local, where clouds have their metadata"), &["169.254.169.254", "169.254.170.2"]);
        all_are(Some("the metadata of a cloud"), &["168.63.129.16"]);
        all_are(Some("for documentation"), &["192.0.2.1", "198.51.100.1", "203.0.113.1"]);
        all_are(Some("for benchmarks"), &["198.18.0.0", "198.19.255.255"]);
        all_are(Some("multicast"), &["224.0.0.1", "239.255.255.255"]);
        all_are(Some("broadcast"), &["255.255.255.255"]);
        all_are(Some("reserved"), &["192.0.0.192", "192.88.99.1", "240.0.0.0", "255.255.255.254"]);
    }

    #[test]
    fn special_addresses_of_ipv6_are_not() {
        all_are(Some("unspecified"), &["::"]);
        all_are(Some("loopback"), &["::1"]);
        all_are(Some("link-local"), &["fe80::1", "febf::1"]);
        all_are(Some("private"), &["fc00::1", "fd00:ec2::254", "fdff::1"]);
        all_are(Some("multicast"), &["ff02::1", "ff0e::1"]);
        all_are(Some("for documentation"), &["2001:db8::1", "3fff:fff::1"]);
        all_are(Some("reserved"), &["64:ff9b:1::1", "100::1", "2001::1", "2001:1ff::1", "4000::1", "5f00::1"]);
        all_are(Some("reserved"), &["fec0::1", "::8.8.8.8", "::fffe:0:0"]);
    }

    #[test]
    fn what_stands_for_an_address_of_ipv4_is_what_that_is() {
        all_are(Some("loopback"), &["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::1"]);
        all_are(Some("private"), &["::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:c0a8:1::1"]);
        let metadata = ["::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1"];
        all_are(Some("link-local, where clouds have their metadata"), &metadata);
        // Teredo: the server 10.0.0.1, and the client 127.0.0.1 with every bit turned.
        all_are(Some("reserved"), &["2001:0:a00:1::80ff:fffe"]);
    }

    #[test]
    fn what_is_granted_may_be_reached_all_the_same() {
        let granted: Vec<IpNet> = ["10.1.0.0/16", "127.0.0.1/32", "fd00::/8"].map(|text| text.parse().unwrap()).into();
        let allowed = |address: &str| check(address.parse().unwrap(), &granted);
        for address in ["10.1.2.3", "127.0.0.1", "::ffff:127.0.0.1", "fd12::1", "8.8.8.8"] {
            assert_eq!(allowed(address), Ok(()), "{address}");
        }
        for address in ["10.2.0.1", "127.0.0.2", "::1", "fc00::1", "64:ff9b::127.0.0.1"] {
            assert!(allowed(address).is_err(), "{address}");
        }
        assert_eq!(check("10.1.2.3".parse().unwrap(), &[]), Err("private"));
    }
}
