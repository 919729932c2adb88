//! Laws of the tables that are looked up by prefix.

use proptest::prelude::*;

use super::access::{self, Verdict};
use super::splits::cover;
use super::*;

fn verdict(list: &AccessList, address: IpAddr) -> Verdict {
    let (digits, hex) = match address {
        IpAddr::V4(v4) => (8, format!("{:08X}", u32::from(v4))),
        IpAddr::V6(v6) => (32, format!("{:032X}", u128::from(v6))),
    };
    let subject = format!("{digits}/{hex}");
    let entries = access::entries(list);
    let longest = (0..=subject.len())
        .rev()
        .find_map(|end| entries.get(&subject[..end]));
    *longest.expect("the empty prefix takes all")
}

fn networks() -> impl Strategy<Value = Vec<ipnet::IpNet>> {
    let v4 = (0u32..64, 24u8..=32).prop_map(|(host, length)| {
        let address = IpAddr::from((0x0A00_0000 + host).to_be_bytes());
        ipnet::IpNet::new(address, length)
            .expect("a length")
            .trunc()
    });
    let v6 = (0u16..64, 118u8..=128).prop_map(|(host, length)| {
        let address = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host]);
        ipnet::IpNet::new(address, length)
            .expect("a length")
            .trunc()
    });
    prop::collection::vec(prop_oneof![v4, v6], 0..5)
}

proptest! {
    #[test]
    fn access_is_deny_then_allow_then_the_rest(deny in networks(), allow in networks(), host in 0u16..80) {
        let list = AccessList { deny, allow };
        let v4 = std::net::Ipv4Addr::from(0x0A00_0000 + u32::from(host));
        let v6 = std::net::Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, host]);
        for address in [IpAddr::V4(v4), IpAddr::V6(v6)] {
            let holds = |networks: &[ipnet::IpNet]| networks.iter().any(|n| n.contains(&address));
            let wanted = match holds(&list.deny) || !(list.allow.is_empty() || holds(&list.allow)) {
                true => Verdict::Deny,
                false => Verdict::Allow,
            };
            prop_assert_eq!(verdict(&list, address), wanted, "{:?} {}", &list, address);
        }
        prop_assert_eq!(verdict(&list, v4.to_ipv6_mapped().into()), verdict(&list, v4.into()));
    }

    #[test]
    fn a_cover_holds_its_numbers_and_no_others(from in 0u32..=10_000, length in 0u32..=10_000) {
        let to = (from + length).min(Share::WHOLE);
        let prefixes = cover(from, to);
        for number in 0..Share::WHOLE {
            let digits = format!("{number:04}");
            let covered = prefixes.iter().filter(|p| digits.starts_with(p.as_str())).count();
            prop_assert_eq!(covered, usize::from((from..to).contains(&number)));
        }
    }
}
