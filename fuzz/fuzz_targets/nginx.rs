//! Whatever manifests say, nginx's configuration is rendered without a panic, and the routes of a good
//! Ingress beside them stay as they are.

#![no_main]

mod rendered;

use libfuzzer_sys::fuzz_target;
use vigie::render::ProxyKind;

fuzz_target!(|bytes: &[u8]| rendered::beside_a_good_one(bytes, ProxyKind::Nginx));
