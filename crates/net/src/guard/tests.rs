//! The classifier against IANA's registries, and against every spelling of a local address.

use super::*;

fn class_of(text: &str) -> Class {
    class(text.parse().expect(text))
}

#[test]
fn public_addresses_are_public() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2a00::1",
        "3ffe::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ] {
        assert_eq!(class_of(text), Class::Public, "{text}");
        assert!(Policy::default().permits(text.parse().expect(text)));
    }
}

#[test]
fn local_addresses_need_leave() {
    for text in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.255.255",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.0.0.192",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2002:c0a8:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "2001:0:0:0:0:0:80ff:fffe",
        "2a00::5efe:127.0.0.1",
        "2a00::200:5efe:c0a8:1",
    ] {
        assert_eq!(class_of(text), Class::Local, "{text}");
        let addr = text.parse().expect(text);
        assert!(!Policy::default().permits(addr) && Policy { allow_local: true }.permits(addr), "{text}");
    }
}

#[test]
fn reserved_addresses_are_never_dialled() {
    for text in [
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.9",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "2001:db8::1",
        "3fff::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:0:102:304::1",
        "5f00::1",
        "4000::1",
        "::ffff:224.0.0.1",
    ] {
        assert_eq!(class_of(text), Class::Never, "{text}");
        assert!(!Policy { allow_local: true }.permits(text.parse().expect(text)), "{text}");
    }
}

#[test]
fn every_ipv4_mapped_address_is_judged_as_its_ipv4_address() {
    // One address of each /16 of the whole space.
    for high in 0..=u16::MAX {
        let v4 = Ipv4Addr::from((u32::from(high) << 16) | 0x0101);
        assert_eq!(class(IpAddr::V6(v4.to_ipv6_mapped())), class(IpAddr::V4(v4)), "{v4}");
    }
}
