//! Channels by the command: two people with a state folder each, who send each other files; runs that are paid for; and, whenever the
//! process is killed, accounts that add up to the unit.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use ipvm::{Node, NodeOptions};
use serde_json::Value;
use shell::{Random, Shell};
use ucan_chan::{Charge, Meter};
use ucan_core::{Cid, Container, Ipld, SystemClock, block};
use ucan_invocation::{Cursor, Listing, Page, ReceiptStore, TaskId};

fn send(from: &Shell, to: &Shell, file: &str) {
    fs::copy(from.path(file), to.path(file)).unwrap();
}

fn one(shell: &Shell, arguments: &[&str]) -> Value {
    let lines = shell.json(arguments);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// A provider and a client, with a channel of 1,000 gas that is open.
fn opened() -> (Shell, Shell, String) {
    let (provider, client) = (Shell::new(), Shell::new());
    assert!(client.ok(&["chan", "status"]).contains("no channels yet"));
    let holder = client.did("user").to_string();
    let offered = one(
        &provider,
        &["chan", "offer", "--to", &holder, "--budget", "1000", "--expires", "1d", "--output", "offer.chan"],
    );
    let id = text(&offered, "channel").to_owned();
    assert_eq!(one(&provider, &["chan", "status"])["status"], "offered");
    send(&provider, &client, "offer.chan");
    let open = one(&client, &["chan", "open", "offer.chan", "--window", "3600", "--output", "open.chan"]);
    assert_eq!((text(&open, "channel"), &open["budget"]), (id.as_str(), &Value::from(1000)));
    send(&client, &provider, "open.chan");
    assert_eq!(one(&provider, &["chan", "take", "open.chan"])["what"], "open");
    (provider, client, id)
}

fn side<'a>(lines: &'a [Value], side: &str) -> &'a Value {
    lines.iter().find(|line| line["side"] == side).unwrap_or_else(|| panic!("{side}: {lines:?}"))
}

/// The provider works for so much.
fn charge(provider: &Shell, channel: &str, limit: u64, used: u64) {
    let node = Node::open(&NodeOptions::new(provider.path(".ipvm"))).unwrap();
    let (channel, task) = (channel.parse::<Cid>().unwrap(), TaskId::new(block::raw_cid(b"a task")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let now = ucan_core::Clock::now(&SystemClock);
        let reserved = node.till().reserve(&channel, task, limit, now).await.unwrap();
        let charge = node.till().charge(reserved, used).await.unwrap();
        node.till().filed(&charge);
    });
}

#[test]
fn a_channel_between_two_folders_from_offer_to_settlement() {
    let (provider, client, id) = opened();
    let paid = one(&client, &["chan", "pay", &id, "--amount", "300", "--output", "one.chan"]);
    assert_eq!((&paid["seq"], &paid["total"], &paid["left"]), (&1.into(), &300.into(), &700.into()));
    send(&client, &provider, "one.chan");
    let taken = one(&provider, &["chan", "take", "one.chan"]);
    assert_eq!((&taken["more"], &taken["credit"]), (&300.into(), &300.into()));
    // A voucher that was lost is the same again, and draws nothing.
    client.ok(&["chan", "pay", &id, "--again", "--output", "again.chan"]);
    assert_eq!(fs::read(client.path("again.chan")).unwrap(), fs::read(client.path("one.chan")).unwrap());
    send(&client, &provider, "again.chan");
    assert_eq!(one(&provider, &["chan", "take", "again.chan"])["more"], 0);
    assert!(client.refused(&["chan", "pay", &id, "--amount", "701"]).contains("700 left"));
    assert!(client.refused(&["chan", "pay", &id, "--amount", "1", "--from", "node"]).contains("--from"));
    // What was not sent is signed for: the next one has it in its total.
    client.ok(&["chan", "pay", &id, "--amount", "100", "--output", "lost.chan"]);
    client.ok(&["chan", "pay", &id, "--amount", "100", "--output", "three.chan"]);
    send(&client, &provider, "three.chan");
    assert_eq!(one(&provider, &["chan", "take", "three.chan"])["credit"], 500);
    charge(&provider, &id, 400, 120);
    let status = provider.json(&["chan", "status", &id]);
    let status = side(&status, "provider");
    assert_eq!((&status["signed"], &status["charged"], &status["credit"]), (&500.into(), &120.into(), &380.into()));
    assert_eq!(status["status"], "open");
    assert!(provider.refused(&["chan", "settle", &id]).contains("chan close"));

    client.ok(&["chan", "close", &id, "--output", "close.chan"]);
    assert!(client.refused(&["chan", "pay", &id, "--amount", "1"]).contains("closed"));
    send(&client, &provider, "close.chan");
    let taken = one(&provider, &["chan", "take", "close.chan"]);
    assert_eq!((&taken["seq"], &taken["cheating"]), (&3.into(), &Value::Null));
    assert!(provider.refused(&["chan", "settle", &id]).contains("can be disputed until"));
    // The provider agrees, so that nobody has to wait.
    provider.ok(&["chan", "close", &id, "--output", "agreed.chan"]);
    let settled = one(&provider, &["chan", "settle", &id, "--output", "settle.chan"]);
    assert_eq!((&settled["due"], &settled["seq"]), (&120.into(), &3.into()));
    for file in ["agreed.chan", "settle.chan"] {
        send(&provider, &client, file);
    }
    assert_eq!(one(&client, &["chan", "take", "agreed.chan"])["short"], false);
    let owed = one(&client, &["chan", "take", "settle.chan"]);
    assert_eq!((&owed["due"], text(&owed, "funder")), (&120.into(), client.did("user").as_str()));
    let status = provider.json(&["chan", "status"]);
    assert_eq!((&status[0]["status"], &status[0]["due"]), (&"settled".into(), &120.into()));
    assert_eq!(side(&client.json(&["chan", "status"]), "holder")["status"], "closed");
}

#[test]
fn a_part_of_a_channel_goes_to_somebody_else() {
    let (provider, funder, id) = opened();
    let spender = Shell::new();
    spender.ok(&["chan", "status"]);
    let to = spender.did("user").to_string();
    let shared = one(&funder, &["chan", "share", &id, "--to", &to, "--budget", "400", "--output", "part.chan"]);
    let part = text(&shared, "channel").to_owned();
    assert_eq!(shared["left"], 600);
    send(&funder, &spender, "part.chan");
    // It is for one, and for no other.
    assert!(funder.refused(&["chan", "open", "part.chan"]).contains("--from"));
    spender.ok(&["chan", "open", "part.chan", "--output", "open-part.chan"]);
    send(&spender, &provider, "open-part.chan");
    provider.ok(&["chan", "take", "open-part.chan"]);
    spender.ok(&["chan", "pay", &part, "--amount", "150", "--output", "pay.chan"]);
    send(&spender, &provider, "pay.chan");
    provider.ok(&["chan", "take", "pay.chan"]);
    charge(&provider, &part, 150, 70);
    let status = provider.json(&["chan", "status", &id]);
    assert_eq!(side(&status, "provider")["allotted"], 400);
    // The root cannot be settled before its part, from which the rest comes back.
    for channel in [&id, &part] {
        let by = if *channel == id { &funder } else { &spender };
        let file = format!("close-{channel}.chan");
        by.ok(&["chan", "close", channel, "--output", &file]);
        send(by, &provider, &file);
        provider.ok(&["chan", "take", &file]);
        provider.ok(&["chan", "close", channel, "--output", &format!("agreed-{channel}.chan")]);
    }
    assert!(provider.refused(&["chan", "settle", &id]).contains("not settled yet"));
    assert_eq!(one(&provider, &["chan", "settle", &part])["due"], 70);
    assert_eq!(one(&provider, &["chan", "settle", &id])["due"], 0);
    assert_eq!(side(&provider.json(&["chan", "status", &id]), "provider")["allotted"], 70);
}

#[test]
fn what_is_wrong_is_refused_and_what_is_revoked_is_closed() {
    let (provider, client, id) = opened();
    client.write("junk", "no tokens");
    assert!(client.refused(&["chan", "open", "junk"]).contains("holds no tokens"));
    assert!(provider.refused(&["chan", "take", "offer.chan"]).contains("0 tokens"));
    let nothing = block::raw_cid(b"nothing").to_string();
    assert!(client.refused(&["chan", "status", &nothing]).contains("chan open"));
    assert!(provider.refused(&["chan", "pay", &id, "--amount", "1"]).contains("nobody here draws"));
    // Somebody else's voucher, signed with a key that does not hold the channel.
    client.ok(&["chan", "pay", &id, "--amount", "10", "--output", "pay.chan"]);
    let mut bytes = Container::decode(&fs::read(client.path("pay.chan")).unwrap()).unwrap();
    let forged: Vec<Vec<u8>> = bytes
        .tokens()
        .map(|token| {
            let mut token = token.to_vec();
            if ucan_chan::Voucher::decode(token.clone()).is_ok() {
                *token.last_mut().unwrap() ^= 1;
            }
            token
        })
        .collect();
    bytes = Container::from_iter(forged);
    provider.write("forged.chan", bytes.encode(ucan_core::ContainerEncoding::Raw));
    provider.refused(&["chan", "take", "forged.chan"]);
    assert_eq!(side(&provider.json(&["chan", "status"]), "provider")["signed"], 0);

    // The provider takes its offer back: a file like any other.
    let state = ipvm::State::open(&provider.path(".ipvm"), &mut |_| {}).unwrap();
    let channel: Cid = id.parse().unwrap();
    let chain = ipvm::Channels::new(&provider.path(".ipvm")).chain(&channel).unwrap();
    let args = ucan_invocation::Revocation::args(&channel, &[]);
    let revoke = ucan_invocation::Invocation::builder(state.node.did().clone(), "/ucan/revoke".parse().unwrap(), args);
    let revoke = revoke.sign(&state.node).unwrap();
    let sent = Container::from_iter([chain[0].bytes(), ucan_core::Token::envelope(&revoke).bytes()]);
    provider.write("revoke.chan", sent.encode(ucan_core::ContainerEncoding::Raw));
    assert_eq!(one(&provider, &["chan", "take", "revoke.chan"])["status"], "closed");
    assert_eq!(side(&provider.json(&["chan", "status"]), "provider")["status"], "closed");
    // What was signed before can be shown until the closing cannot be disputed any more.
    send(&client, &provider, "pay.chan");
    assert_eq!(one(&provider, &["chan", "take", "pay.chan"])["more"], 10);
}

/// A channel of the node's own user: whoever runs things on its own node can see what they cost.
fn own_channel(shell: &Shell, budget: &str, signed: &str) -> String {
    shell.ok(&["chan", "status"]);
    let user = shell.did("user").to_string();
    let offer = ["chan", "offer", "--to", &user, "--budget", budget, "--expires", "1d", "--output", "offer.chan"];
    let id = text(&one(shell, &offer), "channel").to_owned();
    shell.ok(&["chan", "open", "offer.chan", "--output", "open.chan"]);
    shell.ok(&["chan", "take", "open.chan"]);
    pay(shell, &id, signed, "first.chan");
    id
}

fn pay(shell: &Shell, id: &str, amount: &str, file: &str) {
    shell.ok(&["chan", "pay", id, "--amount", amount, "--output", file]);
    shell.ok(&["chan", "take", file]);
}

/// Counts words, of several texts, and measures some; one task has a limit that it hits, and one traps.
fn document(shell: &Shell) {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/guests");
    for guest in ["words.wasm", "shape.wasm"] {
        fs::copy(format!("{guests}/{guest}"), shell.path(guest)).unwrap();
    }
    let words = block::raw_cid(&fs::read(shell.path("words.wasm")).unwrap());
    let shape = block::raw_cid(&fs::read(shell.path("shape.wasm")).unwrap());
    let call = |module: &Cid, fun: &str, params: &str, gas: u64| {
        format!(
            r#"{{"cmd": "/wasm/run", "args": {{"mod": {{"/": "{module}"}}, "fun": "{fun}", "params": {params}}}, "config": {{"gas": {gas}}}}}"#
        )
    };
    let mut tasks: Vec<String> = Vec::new();
    for at in 0..5 {
        let text = "some words are more than others ".repeat(at + 1);
        let count = call(&words, "count", &format!(r#"{{"text": "{text}", "limit": 5}}"#), 10_000_000);
        tasks.push(format!(r#""count {at}": {count}"#));
        let measure = call(&shape, "measure", &format!(r#"{{"text": "{text}"}}"#), 10_000_000);
        tasks.push(format!(r#""measure {at}": {measure}"#));
    }
    // The same as another.
    let again = call(&shape, "measure", r#"{"text": "some words are more than others "}"#, 10_000_000);
    tasks.push(format!(r#""again": {again}"#));
    let text = "too much ".repeat(200);
    let little = call(&words, "count", &format!(r#"{{"text": "{text}", "limit": 5}}"#), 2_000);
    tasks.push(format!(r#""little": {little}"#));
    let blocks = r#""meta": {"blocks": ["words.wasm", "shape.wasm"]}"#;
    shell.write("counts.json", format!(r#"{{"v": "1.0.0", {blocks}, "tasks": {{{}}}}}"#, tasks.join(", ")));
}

/// What the channel has charged is the sum of what the receipts say, and that is the sum of the fuel that they say was used.
fn adds_up(shell: &Shell, channel: &str) -> u64 {
    let node = Node::open(&NodeOptions::new(shell.path(".ipvm"))).unwrap();
    let channel: Cid = channel.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let page = node.store().list(&Listing::Input(channel), Cursor::START, Page::LIMIT).await.unwrap();
        let (mut cost, mut fuel, mut numbers) = (0, 0, BTreeSet::new());
        for id in page.receipts {
            let receipt = ReceiptStore::get(&**node.store(), &id).await.unwrap().unwrap();
            let Some(charge) = Charge::of(&receipt).unwrap() else { continue };
            assert!(numbers.insert(charge.number), "one charge in two receipts");
            cost += charge.cost;
            for key in ["fuel", "instantiation", "fuelBound"] {
                if let Some(Ipld::Integer(amount)) = receipt.meta().get(key) {
                    fuel += u64::try_from(*amount).unwrap();
                }
            }
        }
        let kept = node.till().channel(&channel).await.unwrap();
        assert_eq!((kept.charged(), cost), (cost, fuel));
        assert_eq!(numbers.len() as u64, numbers.last().copied().unwrap_or(0), "a charge has no receipt");
        cost
    })
}

fn events(shell: &Shell, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = shell.command(&[&["--json"], arguments].concat()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn event<'a>(events: &'a [Value], name: &str) -> &'a Value {
    events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("{name}: {events:?}"))
}

/// What was charged for what ran: what is reused says what it cost when it did.
fn charged(events: &[Value]) -> u64 {
    let ran = events.iter().filter(|event| event["event"] == "finished" && event["how"] == "ran");
    ran.filter_map(|event| event["charged"].as_u64()).sum()
}

#[test]
fn runs_are_quoted_capped_and_paid_for() {
    let shell = Shell::new();
    document(&shell);
    let id = own_channel(&shell, "2000000000", "30000000");
    let (_, quoted) = events(&shell, &["plan", "counts.json", "--cost"]);
    // Instantiation has the same limit once more.
    assert_eq!(event(&quoted, "cost")["most"], 11 * 20_000_000 + 4_000);
    assert_eq!(event(&quoted, "cost")["likely"], Value::Null);
    let (code, capped) = events(&shell, &["run", "counts.json", "--cap", "19000000"]);
    let paused = event(&capped, "paused");
    assert_eq!(code, Some(5), "{capped:?}");
    assert!(text(paused, "reason").contains("19000000") && text(paused, "next").contains("--cap"), "{paused}");
    let run = text(paused, "run").to_owned();
    // Nobody was charged for that; from here on the channel pays.
    let (code, done) = events(&shell, &["resume", &run, "--channel", &id]);
    assert_eq!(code, Some(1), "one task has hit its limit: {done:?}");
    let first = charged(&done);
    assert!(first > 2_000);
    assert_eq!(first, adds_up(&shell, &id));
    let status = shell.json(&["chan", "status"]);
    assert_eq!(side(&status, "provider")["charged"], first);
    // What is known costs nothing, but for what hit its limit, which is tried again.
    let (_, quoted) = events(&shell, &["plan", "counts.json", "--cost"]);
    assert_eq!(event(&quoted, "cost")["most"], 4_000);
    let planned = quoted.iter().find(|event| event["label"] == "count 1").unwrap();
    assert!(planned["cost"]["known"] == true && planned["cost"]["measured"].as_u64().unwrap() > 0, "{planned}");
    let (_, again) = events(&shell, &["run", "counts.json", "--channel", &id]);
    let more = charged(&again);
    assert!((2_000..=4_000).contains(&more), "{more}");
    assert_eq!(adds_up(&shell, &id), first + more);
}

#[test]
fn who_runs_out_pays_more_and_goes_on() {
    let shell = Shell::new();
    document(&shell);
    let id = own_channel(&shell, "2000000000", "1000");
    let (code, out) = events(&shell, &["run", "counts.json", "--channel", &id]);
    let paused = event(&out, "paused");
    assert_eq!(code, Some(5));
    assert!(text(paused, "reason").contains("credit of 1000") && text(paused, "next").contains("chan pay"), "{paused}");
    let run = text(paused, "run").to_owned();
    pay(&shell, &id, "40000000", "more.chan");
    let (_, done) = events(&shell, &["resume", &run]);
    event(&done, "done");
    assert!(adds_up(&shell, &id) > 0);
}

/// Killed at random moments, until the run is over: each task is charged for once, however often it was computed.
#[test]
fn however_often_it_is_killed_the_accounts_add_up() {
    let wanted = std::env::var("IPVM_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(25);
    let (mut random, mut kills, mut runs, mut costs) = (Random(0x9E37_79B9_7F4A_7C15), 0, 0, BTreeSet::new());
    while kills < wanted {
        let shell = Shell::new();
        document(&shell);
        let id = own_channel(&shell, "2000000000", "1000000000");
        // Compiling is not what is tried.
        shell.ok(&["plan", "counts.json"]);
        runs += 1;
        let (mut open, mut begun) = (None::<String>, false);
        loop {
            let arguments = match &open {
                None => vec!["run", "counts.json", "--channel", &id],
                Some(run) => vec!["resume", run],
            };
            let mut process = shell.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(5_000 + random.below(60_000)));
            let ended = process.try_wait().unwrap();
            let _already_over = process.kill();
            process.wait().unwrap();
            kills += u64::from(ended.is_none());
            open = shell.json(&["list"]).first().map(|run| text(run, "run").to_owned());
            begun |= open.is_some() || ended.is_some();
            if begun && open.is_none() {
                break;
            }
        }
        costs.insert(adds_up(&shell, &id));
    }
    println!("{runs} runs, killed {kills} times: {costs:?} gas");
    // What hits its limit of 2,000 is no result, and an attempt in each life; everything else costs the same, whatever happens.
    let least = costs.first().copied().unwrap();
    assert!(costs.iter().all(|cost| (cost - least).is_multiple_of(2_000)), "{costs:?}");
}

/// What it takes to charge for a task: two commits, and a receipt that is synced.
#[test]
#[ignore = "a measurement"]
fn what_charging_takes() {
    const TASKS: u32 = 300;
    let shape = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/guests/shape.wasm")).unwrap();
    let module = block::raw_cid(&shape);
    let tasks: Vec<String> = (0..TASKS)
        .map(|at| {
            let args =
                format!(r#"{{"mod": {{"/": "{module}"}}, "fun": "measure", "params": {{"text": "text {at}"}}}}"#);
            format!(r#""t{at}": {{"cmd": "/wasm/run", "args": {args}, "config": {{"gas": 1000000}}}}"#)
        })
        .collect();
    let document = format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "));
    let document = ipvm_workflow::Document::parse(&ucan_core::dagjson::decode(document.as_bytes()).unwrap()).unwrap();
    for paid in [false, true] {
        let shell = Shell::new();
        let id = own_channel(&shell, "2000000000", "1000000000");
        let node = Node::open(&NodeOptions::new(shell.path(".ipvm"))).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let channel = paid.then(|| id.parse().unwrap());
        let options = ipvm_workflow::RunOptions { channel, ..Default::default() };
        let began = std::time::Instant::now();
        let report = runtime.block_on(async {
            node.put(&module, shape.clone().into()).await.unwrap();
            node.run_with(&document, Default::default(), Default::default(), &options, &|_| {}).await.unwrap()
        });
        assert!(report.succeeded());
        println!("paid: {paid}, {:?} a task", began.elapsed() / TASKS);
    }
}
