//! Writes the vectors in `fixtures/ucan-chan` anew, with keys from fixed seeds: run it in the root of the repository.
//!
//! `cargo run -p ucan-chan --example vectors`
#![allow(clippy::unwrap_used, reason = "a tool")]

use std::collections::BTreeMap;
use std::path::Path;

use ucan_chan::{Charge, Cheating, Close, Dispute, Open, Settle, Terms, Voucher};
use ucan_core::{Delegation, Ipld, Issuer, Timestamp, Token, block, dagjson};
use ucan_invocation::{Outcome, Receipt, TaskId};
use varsig::ed25519::SigningKey;

const KEYS: &str =
    "Keys are Ed25519 with a seed of 32 times one byte: the provider 1, the funder 2, the holder of the sub-channel 3.";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parties = Parties::new();
    let folder = Path::new("fixtures/ucan-chan");
    for (name, about, cases) in [
        ("commands", COMMANDS, parties.commands()),
        ("draws", DRAWS, parties.draws()),
        ("proofs", PROOFS, parties.proofs()),
    ] {
        let about = format!("{about} {KEYS} Tokens and delegations are bytes.");
        let chains = parties.chains.iter().map(|(name, chain)| {
            ((*name).to_owned(), Ipld::List(chain.iter().map(|link| Ipld::Bytes(link.bytes().to_vec())).collect()))
        });
        let all = map([("about", text(&about)), ("cases", Ipld::List(cases)), ("chains", Ipld::Map(chains.collect()))]);
        std::fs::write(folder.join(name).with_extension("json"), dagjson::encode(&all) + "\n")?;
    }
    Ok(())
}

const COMMANDS: &str = "The commands of channels on the wire (docs/specs/ucan-chan.md, section 4). Each case has a `token`, its `command`, \
    the key in `chains` of its `chain`, root first, and what is read of it: `channel`, `unit`, `total`, and `seq` unless it opens. \
    `error` instead of these says that it has to be refused, and why.";
const DRAWS: &str = "What a provider answers to vouchers (section 6). In each case they arrive one after the other on an open channel, \
    at a time when it has not expired: `drawn` is what each draws, or the name of the error: `Exhausted`, or of the proof (section 9).";
const PROOFS: &str = "Proofs of cheating (section 9). Each case has the `kind`, the `tokens`, and whom they convict: `provider` or `holder`; \
    null where they prove nothing.";

struct Parties {
    provider: Issuer,
    funder: Issuer,
    holder: Issuer,
    chains: BTreeMap<&'static str, Vec<Delegation>>,
}

impl Parties {
    fn new() -> Self {
        let [provider, funder, holder] = [1, 2, 3].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
        let until = Timestamp::from_secs(4_102_444_800).unwrap();
        let offer = Terms::offer(provider.did(), funder.did().clone(), "gas".parse().unwrap(), 1_000, until).unwrap();
        let root = offer.nonce(b"root channel".to_vec()).sign(&provider).unwrap();
        let share = Terms::read(std::slice::from_ref(&root)).unwrap().share(holder.did().clone(), 300).unwrap();
        let part = share.nonce(b"a subchannel".to_vec()).sign(&funder).unwrap();
        let chains = BTreeMap::from([("root", vec![root.clone()]), ("part", vec![root, part])]);
        Self { provider, funder, holder, chains }
    }

    fn terms(&self, chain: &str) -> Terms {
        Terms::read(&self.chains[chain]).unwrap()
    }

    fn draw(&self, sequence: u64, total: u64, name: &str) -> Voucher {
        Voucher::sign(&self.funder, &self.terms("root"), sequence, total, task(name)).unwrap()
    }

    fn commands(&self) -> Vec<Ipld> {
        let mut cases = Vec::new();
        for (chain, by) in [("root", &self.funder), ("part", &self.holder)] {
            let terms = self.terms(chain);
            let mut case = |command: &str, token: &[u8], seq: Option<u64>, total: u64| {
                let mut fields = BTreeMap::from([
                    ("command".to_owned(), text(command)),
                    ("token".to_owned(), bytes(token)),
                    ("chain".to_owned(), text(chain)),
                    ("channel".to_owned(), Ipld::Link(*terms.id())),
                    ("unit".to_owned(), text("gas")),
                    ("total".to_owned(), number(total)),
                ]);
                fields.extend(seq.map(|seq| ("seq".to_owned(), number(seq))));
                cases.push(Ipld::Map(fields));
            };
            let voucher = Voucher::sign(by, &terms, 2, 250, task("a")).unwrap();
            case("/chan/open", Open::sign(by, &terms, 3_600).unwrap().bytes(), None, terms.budget());
            case("/chan/draw", voucher.bytes(), Some(2), 250);
            case("/chan/close", Close::sign(by, &terms, 2, 250).unwrap().bytes(), Some(2), 250);
            case("/chan/close", Close::sign(&self.provider, &terms, 0, 0).unwrap().bytes(), Some(0), 0);
            let settle = Settle::sign(&self.provider, &terms, Some(&voucher), 240).unwrap();
            case("/chan/settle", settle.bytes(), Some(2), 240);
            case("/chan/settle", Settle::sign(&self.provider, &terms, None, 0).unwrap().bytes(), Some(0), 0);
            let dispute = Dispute::sign(by, &terms, 2, 250, &[*voucher.envelope().cid()]).unwrap();
            case("/chan/dispute", dispute.bytes(), Some(2), 250);
        }
        cases.extend(self.refused());
        cases
    }

    /// Invocations that are signed as they should be, and are no commands of channels.
    fn refused(&self) -> Vec<Ipld> {
        let terms = self.terms("root");
        let args = BTreeMap::from([
            ("channel".to_owned(), Ipld::Link(*terms.id())),
            ("unit".to_owned(), text("gas")),
            ("seq".to_owned(), number(1)),
            ("total".to_owned(), number(10)),
            ("for".to_owned(), Ipld::Link(*task("a").cid())),
        ]);
        let with = |key: &str, value: Ipld| {
            let mut args = args.clone();
            args.insert(key.to_owned(), value);
            args
        };
        let without = |key: &str| {
            let mut args = args.clone();
            args.remove(key);
            args
        };
        let proofs = terms.proofs().to_vec();
        let cases = [
            ("an argument that is not defined", with("note", Ipld::Null), proofs.clone(), vec![]),
            ("no unit", without("unit"), proofs.clone(), vec![]),
            ("a unit in capitals", with("unit", text("Gas")), proofs.clone(), vec![]),
            ("the number 0", with("seq", number(0)), proofs.clone(), vec![]),
            ("a total below 0", with("total", Ipld::Integer(-1)), proofs.clone(), vec![]),
            ("a total above 2^53 - 1", with("total", Ipld::Integer(1 << 53)), proofs.clone(), vec![]),
            ("a nonce", args.clone(), proofs, vec![1]),
            ("no proofs", args.clone(), vec![], vec![]),
            ("the channel is not the last proof", args.clone(), vec![*task("a").cid()], vec![]),
        ];
        let case = |(error, args, proofs, nonce)| {
            let builder =
                ucan_invocation::Invocation::builder(self.provider.did().clone(), "/chan/draw".parse().unwrap(), args);
            let token = builder.proofs(proofs).nonce(nonce).sign(&self.funder).unwrap();
            map([
                ("command", text("/chan/draw")),
                ("chain", text("root")),
                ("token", bytes(token.envelope().bytes())),
                ("error", text(error)),
            ])
        };
        cases.into_iter().map(case).collect()
    }

    fn draws(&self) -> Vec<Ipld> {
        let case = |name: &str, vouchers: &[(u64, u64, &str)], drawn: &[Ipld]| {
            let tokens = vouchers.iter().map(|(seq, total, name)| bytes(self.draw(*seq, *total, name).bytes()));
            map([
                ("name", text(name)),
                ("chain", text("root")),
                ("tokens", Ipld::List(tokens.collect())),
                ("drawn", Ipld::List(drawn.to_vec())),
            ])
        };
        vec![
            case("in order", &[(1, 40, "a"), (2, 90, "b"), (3, 1_000, "c")], &[number(40), number(50), number(910)]),
            case("again", &[(1, 40, "a"), (1, 40, "a")], &[number(40), number(0)]),
            case("numbers are skipped", &[(2, 40, "a"), (7, 60, "b")], &[number(40), number(20)]),
            case("an older one", &[(2, 40, "b"), (1, 30, "a"), (3, 50, "c")], &[number(40), number(0), number(10)]),
            case("from credit", &[(1, 40, "a"), (2, 40, "b")], &[number(40), number(0)]),
            case("other total", &[(1, 40, "a"), (1, 50, "a")], &[number(40), text("equivocation")]),
            case("other task", &[(1, 40, "a"), (1, 40, "b")], &[number(40), text("equivocation")]),
            case(
                "later and lower",
                &[(1, 40, "a"), (2, 39, "b"), (2, 41, "b")],
                &[number(40), text("rollback"), number(1)],
            ),
            case("older and higher", &[(2, 40, "a"), (1, 41, "b")], &[number(40), text("rollback")]),
            case("over the budget", &[(1, 1_001, "a"), (1, 1_000, "a")], &[text("overdraft"), number(1_000)]),
        ]
    }

    fn proofs(&self) -> Vec<Ipld> {
        let terms = self.terms("root");
        let case = |kind: Cheating, tokens: &[&[u8]], who: Ipld| {
            let tokens = Ipld::List(tokens.iter().map(|token| bytes(token)).collect());
            map([("kind", text(kind.name())), ("chain", text("root")), ("tokens", tokens), ("convicts", who)])
        };
        let draw = |seq, total| self.draw(seq, total, "a");
        let close = |by: &Issuer, seq, total| Close::sign(by, &terms, seq, total).unwrap();
        let settle = |voucher: &Voucher, total| Settle::sign(&self.provider, &terms, Some(voucher), total).unwrap();
        let receipt = |number, cost, charged, last, name: &str| {
            let charge = Charge { channel: *terms.id(), unit: terms.unit().clone(), number, cost, charged, last };
            let mut meta = BTreeMap::new();
            charge.put(&mut meta);
            let builder = Receipt::builder(task(name), Outcome::Ok(Ipld::Null)).meta(meta);
            builder.sign(&self.provider, [3; 16]).unwrap()
        };
        let (holder, provider) = (text("holder"), text("provider"));
        let [low, high, other] = [draw(3, 40), draw(4, 50), draw(3, 45)];
        let rolled = draw(4, 30);
        vec![
            case(Cheating::Equivocation, &[low.bytes(), other.bytes()], holder.clone()),
            case(Cheating::Equivocation, &[low.bytes(), low.bytes()], Ipld::Null),
            case(Cheating::Equivocation, &[low.bytes(), high.bytes()], Ipld::Null),
            case(Cheating::Rollback, &[low.bytes(), rolled.bytes()], holder.clone()),
            case(Cheating::Rollback, &[rolled.bytes(), low.bytes()], holder.clone()),
            case(Cheating::Rollback, &[low.bytes(), high.bytes()], Ipld::Null),
            case(Cheating::Overdraft, &[draw(3, 1_001).bytes()], holder.clone()),
            case(Cheating::Overdraft, &[draw(3, 1_000).bytes()], Ipld::Null),
            case(Cheating::StaleClose, &[close(&self.funder, 3, 40).bytes(), high.bytes()], holder.clone()),
            case(Cheating::StaleClose, &[close(&self.funder, 4, 50).bytes(), high.bytes()], Ipld::Null),
            case(Cheating::StaleClose, &[close(&self.provider, 3, 40).bytes(), high.bytes()], Ipld::Null),
            case(Cheating::FalseClose, &[close(&self.funder, 3, 40).bytes(), other.bytes()], holder),
            case(Cheating::FalseClose, &[close(&self.provider, 3, 40).bytes(), other.bytes()], Ipld::Null),
            case(Cheating::Overclaim, &[settle(&low, 41).bytes(), low.bytes()], provider.clone()),
            case(Cheating::Overclaim, &[settle(&low, 40).bytes(), low.bytes()], Ipld::Null),
            case(Cheating::Overclaim, &[settle(&low, 41).bytes(), other.bytes()], Ipld::Null),
            case(
                Cheating::DoubleCharge,
                &[receipt(2, 10, 30, false, "a").bytes(), receipt(2, 10, 30, false, "b").bytes()],
                provider.clone(),
            ),
            case(
                Cheating::ChargeRollback,
                &[receipt(2, 10, 30, false, "a").bytes(), receipt(3, 10, 20, false, "b").bytes()],
                provider.clone(),
            ),
            case(
                Cheating::ChargeRollback,
                &[receipt(2, 10, 30, false, "a").bytes(), receipt(3, 10, 40, false, "b").bytes()],
                Ipld::Null,
            ),
            case(Cheating::Overcharge, &[receipt(3, 0, 30, true, "a").bytes(), settle(&low, 31).bytes()], provider),
            case(Cheating::Overcharge, &[receipt(3, 0, 30, false, "a").bytes(), settle(&low, 31).bytes()], Ipld::Null),
        ]
    }
}

fn task(name: &str) -> TaskId {
    TaskId::new(block::dag_cbor_cid(name.as_bytes()))
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn number(number: u64) -> Ipld {
    Ipld::Integer(number.into())
}

fn bytes(bytes: &[u8]) -> Ipld {
    Ipld::Bytes(bytes.to_vec())
}

fn map<const N: usize>(fields: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(fields.map(|(key, value)| (key.to_owned(), value)).into())
}
