//! What an address reaches: the internet, or what only this machine and its networks see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address reaches, by IANA's registries of special-purpose addresses
/// (RFC 6890) and what clouds publish of their metadata services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressClass {
    /// Any host on the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network: RFC 1918, RFC 6598, unique-local, site-local.
    Private,
    /// The network that this machine is on, and nothing beyond a router.
    LinkLocal,
    /// A cloud's metadata service, which hands out credentials.
    Metadata,
    /// No host: multicast, documentation, unspecified, reserved.
    Unusable,
}

/// Metadata services at addresses that look like others.
const METADATA: [IpAddr; 10] = [
    // Amazon, Google, Azure and most others; then Amazon's for containers.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    // Alibaba, and Azure's second one.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Amazon's, Google's, Oracle's and OpenStack's by IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
];

impl AddressClass {
    /// The class of what a connection to `address` reaches.
    pub(crate) fn of(address: IpAddr) -> Self {
        let reached = reached(address);
        if METADATA.contains(&reached) {
            return Self::Metadata;
        }
        match reached {
            IpAddr::V4(address) => of_v4(address),
            // A network's own NAT64 (RFC 8215) leads to what this machine's network has.
            IpAddr::V6(address) => match address.segments() {
                [0x64, 0xff9b, 1, _, _, _, high, low] => match Self::of(v4(high, low)) {
                    Self::Metadata => Self::Metadata,
                    _ => Self::Private,
                },
                _ => of_v6(address),
            },
        }
    }
}

/// The address that a connection reaches: the one of IPv4 that one of IPv6 stands for.
pub(crate) fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(wide) = address else {
        return address;
    };
    let [a, b, c, d, e, f, g, h] = wide.segments();
    match [a, b, c, d, e, f] {
        // IPv4-mapped (RFC 4291 §2.5.5.2), and NAT64 (RFC 6052 §2.1).
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // IPv4-compatible (RFC 4291 §2.5.5.1); `::` and `::1` are none.
        [0, 0, 0, 0, 0, 0] if g != 0 || h > 1 => v4(g, h),
        // 6to4 (RFC 3056 §2).
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn v4(high: u16, low: u16) -> IpAddr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn of_v4(address: Ipv4Addr) -> AddressClass {
    match address.octets() {
        [127, ..] => AddressClass::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            AddressClass::Private
        }
        [169, 254, ..] => AddressClass::LinkLocal,
        // Linux takes 0.0.0.0 for this machine.
        [0, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => AddressClass::Unusable,
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressClass::Private,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        // Protocol assignments, Teredo among them, and documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Unusable,
        // Global unicast (RFC 4291 §2.4, by IANA's allocation).
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        _ => AddressClass::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_the_class_of_what_it_reaches() {
        use AddressClass::*;
        for (class, addresses) in [
            (
                Public,
                "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.0.1.1 \
                 2606:4700::1111 2002:0808:0808::1 64:ff9b::808:808 ::ffff:8.8.8.8 ::8.8.8.8",
            ),
            (
                Loopback,
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::127.0.0.1 2002:7f00:1::1 \
                 64:ff9b::7f00:1",
            ),
            (
                Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255 \
                 fc00::1 fdff::1 fec0::1 ::ffff:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::a00:1 \
                 2002:c0a8:1::1",
            ),
            (LinkLocal, "169.254.0.1 fe80::1 febf::1 ::ffff:169.254.1.1"),
            (
                Metadata,
                "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 fd00:ec2::254 \
                 fd00:ec2::23 fd00:c1::a9fe:a9fe fe80::a9fe:a9fe 64:ff9b:1::a9fe:a9fe ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::",
            ),
            (
                Unusable,
                "0.0.0.0 0.1.2.3 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 \
                 239.1.1.1 240.0.0.1 255.255.255.255 :: ff02::1 2001:db8::1 2001::1 100::1 \
                 3fff::1 4000::1 5f00::1 ::ffff:0.0.0.0",
            ),
        ] {
            for address in addresses.split_whitespace() {
                let parsed = address.parse().unwrap();
                assert_eq!(AddressClass::of(parsed), class, "{address}");
            }
        }
    }
}
