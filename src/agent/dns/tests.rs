use std::str::FromStr;

use hickory_proto::op::{Edns, Query};
use hickory_proto::rr::{Name, Record};
use proptest::prelude::*;

use super::*;

fn zone(names: &[(&str, Vec<IpAddr>)]) -> Zone {
    let owned = |(name, addresses): &(&str, Vec<IpAddr>)| (name.to_string(), addresses.clone());
    names.iter().map(owned).collect()
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    message
}

async fn running(zone: Zone) -> (Zones, Server) {
    let (zones, mut server) = server();
    server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    zones.publish(zone);
    (zones, server)
}

async fn ask(server: &Server, packet: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(packet, server.addresses()[0]).await.unwrap();
    let mut answer = vec![0; 65535];
    let received = timeout(Duration::from_secs(10), socket.recv(&mut answer));
    let length = received.await.expect("no answer").unwrap();
    Message::from_vec(&answer[..length]).unwrap()
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    let address = |record: &Record| record.data.ip_addr();
    message.answers.iter().filter_map(address).collect()
}

fn many(count: u16) -> Vec<IpAddr> {
    let address = |n: u16| IpAddr::from([10, 0, (n >> 8) as u8, n as u8]);
    (0..count).map(address).collect()
}

#[tokio::test]
async fn a_name_is_answered_by_address_family_with_ttl_zero() {
    let v4: IpAddr = "10.0.0.1".parse().unwrap();
    let v6: IpAddr = "fd00::1".parse().unwrap();
    let (_zones, server) = running(zone(&[("api.vigie", vec![v4, v6])])).await;
    for (kind, expected) in [
        (RecordType::A, vec![v4]),
        (RecordType::AAAA, vec![v6]),
        (RecordType::TXT, vec![]),
        (RecordType::ANY, vec![]),
    ] {
        let message = ask(&server, &question("API.vigie.", kind).to_vec().unwrap()).await;
        assert_eq!(message.metadata.response_code, ResponseCode::NoError);
        assert!(message.metadata.authoritative);
        assert_eq!(message.metadata.id, 7);
        assert_eq!(addresses(&message), expected, "{kind}");
        assert!(message.answers.iter().all(|record| record.ttl == 0));
    }
}

#[tokio::test]
async fn unknown_names_do_not_exist_and_other_acts_are_refused() {
    let (_zones, server) = running(zone(&[("api.vigie", many(1))])).await;
    let code = async |message: Message| {
        let packet = message.to_vec().unwrap();
        ask(&server, &packet).await.metadata.response_code
    };
    let unknown = question("other.vigie.", RecordType::A);
    assert_eq!(code(unknown).await, ResponseCode::NXDomain);
    let mut update = question("api.vigie.", RecordType::A);
    update.metadata.op_code = OpCode::Notify;
    assert_eq!(code(update).await, ResponseCode::NotImp);
    let mut chaos = question("api.vigie.", RecordType::A);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(chaos).await, ResponseCode::Refused);
    let mut two = question("api.vigie.", RecordType::A);
    two.add_query(two.queries[0].clone());
    assert_eq!(code(two).await, ResponseCode::FormErr);
    let broken = ask(&server, &[0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63]).await;
    assert_eq!(broken.metadata.response_code, ResponseCode::FormErr);
    assert_eq!(broken.metadata.id, 9);
}

#[tokio::test]
async fn an_answer_too_large_for_a_datagram_comes_by_tcp() {
    let (_zones, server) = running(zone(&[("big.vigie", many(1500))])).await;
    let packet = question("big.vigie.", RecordType::A).to_vec().unwrap();
    let cut = ask(&server, &packet).await;
    assert!(cut.metadata.truncation);
    assert_eq!(addresses(&cut), Vec::<IpAddr>::new());

    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    for _ in 0..2 {
        stream.write_u16(packet.len() as u16).await.unwrap();
        stream.write_all(&packet).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.unwrap();
        let message = Message::from_vec(&answer).unwrap();
        assert!(!message.metadata.truncation);
        assert_eq!(addresses(&message).len(), 1500);
    }
}

#[tokio::test]
async fn edns_makes_room_in_a_datagram() {
    let (_zones, server) = running(zone(&[("some.vigie", many(60))])).await;
    let mut message = question("some.vigie.", RecordType::A);
    let without = ask(&server, &message.to_vec().unwrap()).await;
    assert!(without.metadata.truncation);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    message.set_edns(edns);
    let with = ask(&server, &message.to_vec().unwrap()).await;
    assert_eq!(addresses(&with).len(), 60);
}

#[tokio::test]
async fn a_publisher_learns_when_a_name_has_been_asked_for() {
    let (zones, server) = running(Zone::new()).await;
    let questions = zones.publish(zone(&[("api.vigie", many(1))]));
    let names = BTreeSet::from(["api.vigie".to_owned()]);
    let asked = tokio::spawn(questions.all(names));
    let packet = question("api.vigie.", RecordType::A).to_vec().unwrap();
    assert_eq!(addresses(&ask(&server, &packet).await), many(1));
    timeout(Duration::from_secs(10), asked)
        .await
        .expect("not told")
        .unwrap();
}

proptest! {
    #[test]
    fn no_packet_stops_the_server(packet in prop::collection::vec(any::<u8>(), 0..600)) {
        let zone = Numbered { number: 1, zone: zone(&[("api.vigie", many(1))]) };
        let (asked, _) = broadcast::channel(1);
        for transport in [Transport::Udp, Transport::Tcp] {
            let answer = answer(&packet, &zone, transport, &asked);
            prop_assert!(answer.is_none_or(|a| a.len() <= 65535));
        }
    }

    #[test]
    fn no_damaged_question_stops_the_server(
        place in 0usize..40, byte in any::<u8>(), cut in 0usize..60, kind in any::<u16>(),
    ) {
        let mut packet = question("api.vigie.", RecordType::from(kind)).to_vec().unwrap();
        let at = place.min(packet.len() - 1);
        packet[at] = byte;
        packet.truncate(cut.max(1));
        let zone = Numbered { number: 1, zone: zone(&[("api.vigie", many(200))]) };
        let (asked, _) = broadcast::channel(1);
        if let Some(answer) = answer(&packet, &zone, Transport::Udp, &asked) {
            prop_assert!(answer.len() <= LARGE);
        }
    }
}

#[tokio::test]
async fn as_many_addresses_are_answered_as_a_message_holds() {
    let v6 = |n: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]);
    let all: Vec<IpAddr> = many(6000).into_iter().chain((0..6000).map(v6)).collect();
    let (_zones, server) = running(zone(&[("api.vigie", all)])).await;
    for (kind, least) in [(RecordType::A, 4000), (RecordType::AAAA, 2300)] {
        let question = question("api.vigie.", kind).to_vec().unwrap();
        let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
        let length = u16::try_from(question.len()).unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&question).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.unwrap();
        let message = Message::from_vec(&answer).unwrap();
        assert!(!message.metadata.truncation);
        assert!(addresses(&message).len() > least, "{kind}");
    }
}
