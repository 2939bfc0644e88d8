//! A zone of the domain name system, on a server of its own, and `/dns/update`, which alters it (RFC 2136).

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_net::DnsHandle;
use hickory_net::client::{Client, ClientHandle};
use hickory_net::proto::op::{DnsRequest, ResponseCode, update_message};
use hickory_net::proto::rr::rdata::{TXT, tsig::TsigAlgorithm};
use hickory_net::proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::FirstAnswer;
use hickory_server::Server;
use hickory_server::store::sqlite::{SqliteConfig, SqliteZoneHandler, TsigKeyConfig};
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::UdpSocket;
use ucan_core::Ipld;
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task};

use super::{map, network::random, only, refused, text, unreachable};

/// The zone of the example.
pub(crate) const ZONE: &str = "example.com.";
const TTL: u32 = 60;
const PATIENCE: Duration = Duration::from_secs(5);

/// A DNS server on loopback with one zone. Whoever alters it signs with the key of the zone (TSIG, RFC 8945).
pub(crate) struct Zone {
    pub(crate) address: SocketAddr,
    signer: TSigner,
    _server: Server<Catalog>,
}

impl Zone {
    /// Starts the server, whose files are in a folder.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let (zone, key) = (Name::from_ascii(ZONE)?, random::<32>().to_vec());
        let key_name = Name::from_ascii("update.example.com.")?;
        let soa = "@ 60 IN SOA ns.example.com. hostmaster.example.com. 1 3600 600 86400 60\n";
        std::fs::write(folder.join("zone"), format!("$ORIGIN {ZONE}\n{soa}@ 60 IN NS ns.example.com.\n"))?;
        std::fs::write(folder.join("key"), &key)?;
        let config = SqliteConfig {
            zone_path: "zone".into(),
            journal_path: "journal".into(),
            allow_update: true,
            tsig_keys: vec![TsigKeyConfig {
                name: key_name.to_ascii(),
                key_file: "key".into(),
                algorithm: TsigAlgorithm::HmacSha256,
                fudge: 300,
            }],
        };
        let (kind, transfer) = (ZoneType::Primary, AxfrPolicy::Deny);
        let handler: SqliteZoneHandler =
            SqliteZoneHandler::try_from_config(zone.clone(), kind, transfer, false, Some(folder), &config, None)
                .await?;
        let mut catalog = Catalog::new();
        catalog.upsert(zone.into(), vec![Arc::new(handler)]);
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let mut server = Server::new(catalog);
        server.register_socket(socket);
        let signer = TSigner::new(key, TsigAlgorithm::HmacSha256, key_name, 300)?;
        Ok(Self { address, signer, _server: server })
    }

    /// What acts on the zone.
    pub(crate) fn handler(&self) -> UpdateRecord {
        UpdateRecord { server: self.address, signer: self.signer.clone() }
    }

    /// The texts that the server has under a name: asked for like anybody else would.
    pub(crate) async fn texts(&self, name: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let answer = client(self.address, None).query(Name::from_ascii(name)?, DNSClass::IN, RecordType::TXT).await?;
        let text = |record: &Record| match &record.data {
            RData::TXT(text) => Some(text.to_string()),
            _ => None,
        };
        Ok(answer.answers.iter().filter_map(text).collect())
    }
}

fn client(server: SocketAddr, signer: Option<TSigner>) -> Client<TokioRuntimeProvider> {
    let stream = UdpClientStream::builder(server, TokioRuntimeProvider::default());
    let stream = stream.with_timeout(Some(PATIENCE)).with_signer(signer).build();
    let (client, background) = Client::from_sender(stream);
    tokio::spawn(background);
    client
}

/// `/dns/update`, with `{zone, name, value}`: the name has this text, and no other. Gives `{name, value}`.
pub(crate) struct UpdateRecord {
    server: SocketAddr,
    signer: TSigner,
}

impl fmt::Debug for UpdateRecord {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateRecord").field("server", &self.server).finish_non_exhaustive()
    }
}

impl UpdateRecord {
    /// The name and the value, unless they wait for other tasks.
    fn read(task: &Task) -> Result<Option<(Name, &str)>, Failure> {
        only(task, &["zone", "name", "value"])?;
        if text(task, "zone")?.is_some_and(|zone| zone != ZONE) {
            return Err(refused(format!("the zone here is {ZONE}")));
        }
        let value = text(task, "value")?;
        if value.is_some_and(|value| value.is_empty() || value.len() > 255 || value.chars().any(char::is_control)) {
            return Err(refused("`value` has from 1 to 255 bytes and no control characters"));
        }
        let Some(name) = text(task, "name")? else { return Ok(None) };
        let parsed = Name::from_ascii(name).map_err(|error| refused(format!("`name`: {error}")))?;
        // The zone is its owner's by delegation, but its own records at the top are the server's affair.
        let zone = Name::from_ascii(ZONE).map_err(|error| refused(error.to_string()))?;
        if !parsed.is_fqdn() || parsed == zone || !zone.zone_of(&parsed) {
            return Err(refused(format!("`name` ends in .{ZONE}")));
        }
        Ok(value.map(|value| (parsed, value)))
    }

    async fn update(&self, task: &Task) -> Result<Ipld, Failure> {
        let Some((name, value)) = Self::read(task)? else { return Err(refused("something is still awaited")) };
        let zone = Name::from_ascii(ZONE).map_err(unreachable)?;
        let record = Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![value.to_owned()])));
        // One message that takes away what is there and adds what shall be: all of it happens, or nothing.
        let mut message = update_message::delete_rrset(record.clone(), zone, true);
        message.add_authority(record);
        let answer = client(self.server, Some(self.signer.clone())).send(DnsRequest::from(message)).first_answer();
        let answer = answer.await.map_err(unreachable)?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(map([("name", name.to_ascii()), ("value", value.to_owned())])),
            code => Err(Failure::new("ServerRefused", format!("the DNS server says {code}"))),
        }
    }
}

#[async_trait]
impl Handler for UpdateRecord {
    /// Saying twice what a record shall be is the same as saying it once.
    fn effect_class(&self) -> EffectClass {
        EffectClass::IdempotentWrite
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        Self::read(task).map(drop)
    }

    async fn handle(&self, call: &Call) -> Completion {
        Completion::new(self.update(call.task()).await.map_or_else(Outcome::from, Outcome::Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{task, with};
    use super::*;

    #[test]
    fn records_outside_of_the_zone_are_refused() -> Result<(), Box<dyn Error>> {
        let text = |text: &str| Ipld::String(text.to_owned());
        let good = [("zone", text(ZONE)), ("name", text("a.example.com.")), ("value", text("go"))];
        assert!(matches!(UpdateRecord::read(&task(&good)?), Ok(Some((_, "go")))));
        let long = "x".repeat(256);
        for (name, value) in [
            ("zone", "example.net."),
            ("zone", ""),
            ("name", "a.example.net."),
            ("name", "a.example.com"),
            ("name", "example.com."),
            ("name", "aexample.com."),
            ("name", "a..example.com."),
            ("value", ""),
            ("value", "a\nb"),
            ("value", &long),
            ("ttl", "0"),
        ] {
            assert!(UpdateRecord::read(&task(&with(&good, name, text(value)))?).is_err(), "{name}: {value}");
        }
        assert!(UpdateRecord::read(&task(&with(&good, "value", Ipld::Null))?).is_err());
        assert!(UpdateRecord::read(&task(&good[..2])?).is_err());
        Ok(())
    }

    #[tokio::test]
    async fn who_has_no_key_alters_nothing() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let zone = Zone::start(folder.path()).await?;
        let text = |text: &str| Ipld::String(text.to_owned());
        let args = task(&[("zone", text(ZONE)), ("name", text("a.example.com.")), ("value", text("go"))])?;
        let name = Name::from_ascii("update.example.com.")?;
        let signer = TSigner::new(vec![0; 32], TsigAlgorithm::HmacSha256, name, 300)?;
        let stranger = UpdateRecord { server: zone.address, signer };
        assert!(stranger.update(&args).await.is_err());
        assert!(zone.texts("a.example.com.").await.unwrap_or_default().is_empty());

        // Whoever has it says what the record is, and the last word counts.
        for value in ["go", "go", "stop"] {
            let args = task(&[("zone", text(ZONE)), ("name", text("a.example.com.")), ("value", text(value))])?;
            zone.handler().update(&args).await?;
            assert_eq!(zone.texts("a.example.com.").await?, [value]);
        }
        Ok(())
    }
}
