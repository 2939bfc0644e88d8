use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use varsig::ed25519::SigningKey;

use super::*;
use crate::{ChainErrorClass as Class, Delegation, DelegationBuilder, DidKeys, Issuer, Policy, Token, dagjson, tag};

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

const NOW: u64 = 1_000_000;

fn context() -> Context<'static> {
    Context::new(at(NOW), &DidKeys)
}

/// A delegation of `/file` on the subject.
fn grant(to: &Issuer, subject: Option<&Issuer>) -> DelegationBuilder {
    Delegation::builder(to.did().clone(), subject.map(|it| it.did().clone()), Command::parse("/file").unwrap())
}

fn args(json: &str) -> Ipld {
    dagjson::decode(json.as_bytes()).unwrap()
}

struct Wish {
    invoker: Issuer,
    subject: Issuer,
    command: Command,
    args: Ipld,
}

impl Wish {
    /// Writing a file of `subject`.
    fn new(invoker: &Issuer, subject: &Issuer) -> Self {
        let command = Command::parse("/file/write").unwrap();
        Self { invoker: invoker.clone(), subject: subject.clone(), command, args: args(r#"{"path": "/tmp/a"}"#) }
    }

    fn request(&self) -> Request<'_> {
        Request { invoker: self.invoker.did(), subject: self.subject.did(), command: &self.command, args: &self.args }
    }

    fn validate(&self, proofs: &[&Delegation]) -> Result<Authority, (Class, Option<usize>)> {
        validate(&self.request(), &owned(proofs), &context()).map_err(|error| (error.class, error.proof))
    }

    fn search(&self, grants: &[&Delegation]) -> Result<Vec<Cid>, NoChain> {
        search(&self.request(), &owned(grants), &context()).map(|authority| authority.proofs().to_vec())
    }
}

fn owned(delegations: &[&Delegation]) -> Vec<Delegation> {
    delegations.iter().copied().cloned().collect()
}

fn cids(delegations: &[&Delegation]) -> Vec<Cid> {
    delegations.iter().map(|delegation| *delegation.cid()).collect()
}

#[test]
fn the_subject_needs_no_proof_but_those_it_lists_are_checked() {
    let [alice, bob] = [1, 2].map(issuer);
    let wish = Wish::new(&alice, &alice);
    assert_eq!(wish.validate(&[]).unwrap().proofs(), []);
    assert_eq!(wish.search(&[]), Ok(vec![]));
    let round_trip = [&grant(&bob, Some(&alice)).sign(&alice).unwrap(), &grant(&alice, None).sign(&bob).unwrap()];
    assert_eq!(wish.validate(&round_trip).unwrap().proofs(), cids(&round_trip));
    assert_eq!(wish.validate(&round_trip[..1]), Err((Class::InvalidAudience, Some(0))));
}

#[test]
fn each_rule_has_its_class_and_its_proof() {
    let [alice, bob, carol, dave] = [1, 2, 3, 4].map(issuer);
    let root = grant(&bob, Some(&alice)).sign(&alice).unwrap();
    let check =
        |leaf: DelegationBuilder, by: &Issuer| Wish::new(&carol, &alice).validate(&[&root, &leaf.sign(by).unwrap()]);
    let leaf = || grant(&carol, Some(&alice));
    let policy = |json: &str| Policy::parse(&args(json)).unwrap();
    assert!(check(leaf(), &bob).is_ok());
    assert_eq!(check(leaf().expiration(at(NOW - 61)), &bob), Err((Class::Expired, Some(1))));
    assert!(check(leaf().expiration(at(NOW - 60)), &bob).is_ok());
    assert_eq!(check(leaf().not_before(at(NOW + 61)), &bob), Err((Class::TooEarly, Some(1))));
    assert!(check(leaf().not_before(at(NOW + 60)), &bob).is_ok());
    assert_eq!(check(grant(&carol, Some(&dave)), &bob), Err((Class::InvalidSubject, Some(1))));
    assert_eq!(check(leaf(), &dave), Err((Class::InvalidAudience, Some(1))));
    assert_eq!(check(grant(&dave, Some(&alice)), &bob), Err((Class::InvalidAudience, Some(1))));
    assert_eq!(check(leaf().policy(policy(r#"[["==", ".path", "x"]]"#)), &bob), Err((Class::MatchError, Some(1))));
    let narrow = Delegation::builder(carol.did().clone(), None, Command::parse("/file/read").unwrap());
    assert_eq!(check(narrow, &bob), Err((Class::InvalidCommand, Some(1))));

    let wish = Wish::new(&carol, &alice);
    assert_eq!(wish.validate(&[]), Err((Class::InvalidClaim, None)));
    let powerline = grant(&carol, None).sign(&alice).unwrap();
    assert_eq!(wish.validate(&[&powerline]), Err((Class::InvalidClaim, Some(0))));
    let stranger = grant(&carol, Some(&alice)).sign(&dave).unwrap();
    assert_eq!(wish.validate(&[&stranger]), Err((Class::InvalidAudience, Some(0))));
}

#[test]
fn a_signature_of_somebody_else_is_refused_before_anything_else() {
    let [alice, bob] = [1, 2].map(issuer);
    let mallory = Issuer::new(alice.did().clone(), Arc::new(SigningKey::from_seed(&[9; 32])));
    let forged = grant(&bob, Some(&alice)).expiration(at(1)).sign(&mallory).unwrap();
    let wish = Wish::new(&bob, &alice);
    assert_eq!(wish.validate(&[&forged]), Err((Class::InvalidSignature, Some(0))));
    // All that is wrong can be had too.
    let all = diagnose(&wish.request(), &[forged], &context());
    assert_eq!(all.iter().map(|error| error.class).collect::<Vec<_>>(), [Class::InvalidSignature, Class::Expired]);
}

#[test]
fn too_many_proofs_are_refused_before_any_is_looked_at() {
    let [alice, bob] = [1, 2].map(issuer);
    let mallory = Issuer::new(alice.did().clone(), Arc::new(SigningKey::from_seed(&[9; 32])));
    let forged = grant(&alice, Some(&alice)).sign(&mallory).unwrap();
    let wish = Wish::new(&bob, &alice);
    let many = vec![forged; 400_000];
    let error = validate(&wish.request(), &many, &context()).unwrap_err();
    assert_eq!((error.class.name(), error.proof), ("LimitExceeded", None));
    assert_eq!(error.to_string(), "LimitExceeded: 400000 proofs are given, more than 64");
    assert_eq!(diagnose(&wish.request(), &many, &context()), [error]);
    // The longest chain that is allowed.
    let to_self = grant(&alice, Some(&alice)).sign(&alice).unwrap();
    let last = grant(&bob, Some(&alice)).sign(&alice).unwrap();
    let mut proofs = vec![&to_self; 63];
    proofs.push(&last);
    assert!(wish.validate(&proofs).is_ok());
    proofs.push(&last);
    assert_eq!(wish.validate(&proofs), Err((Class::LimitExceeded, None)));
}

/// A policy that takes a third of all work on [`many`], and holds.
fn costly() -> Policy {
    Policy::parse(&args(r#"[["all", ".list", ["==", ".", 1]]]"#)).unwrap()
}

fn many() -> Ipld {
    Ipld::Map([("list".to_owned(), Ipld::List(vec![Ipld::Integer(1); 1_000_000]))].into())
}

#[test]
fn all_proofs_share_the_work_of_their_policies() {
    let [alice, bob] = [1, 2].map(issuer);
    let to_self = grant(&alice, Some(&alice)).policy(costly()).sign(&alice).unwrap();
    let last = grant(&bob, Some(&alice)).sign(&alice).unwrap();
    let mut wish = Wish::new(&bob, &alice);
    wish.args = many();
    assert!(wish.validate(&[&to_self, &to_self, &last]).is_ok());
    assert_eq!(wish.validate(&[&to_self, &to_self, &to_self, &to_self, &last]), Err((Class::MatchError, Some(3))));
}

#[test]
fn what_nobody_signed_or_has_ended_takes_no_work_from_a_search() {
    let [alice, bob] = [1, 2].map(issuer);
    let mallory = Issuer::new(alice.did().clone(), Arc::new(SigningKey::from_seed(&[9; 32])));
    let mut wish = Wish::new(&bob, &alice);
    wish.args = many();
    let costly_grant = |nonce: u8| grant(&bob, Some(&alice)).policy(costly()).nonce([nonce]);
    let mut grants: Vec<_> = (0..20).map(|nonce| costly_grant(nonce).sign(&mallory).unwrap()).collect();
    grants.extend((0..20).map(|nonce| costly_grant(nonce).expiration(at(1)).sign(&alice).unwrap()));
    let good = costly_grant(99).expiration(at(NOW + 9)).sign(&alice).unwrap();
    grants.push(good.clone());
    let found = search(&wish.request(), &grants, &context()).unwrap();
    assert_eq!(found.proofs(), [*good.cid()]);
    // What is signed shares one budget: the policies are judged until it is spent, and no further.
    let refusing = Policy::parse(&args(r#"[["all", ".list", ["==", ".", 1]], ["==", ".list", 1]]"#)).unwrap();
    let refusing = |nonce: u8| grant(&bob, Some(&alice)).policy(refusing.clone()).nonce([nonce]).sign(&alice).unwrap();
    let grants: Vec<_> = (0..20).map(refusing).collect();
    let looks = AtomicUsize::new(0);
    let counting = |_: &Ipld| {
        looks.fetch_add(1, Ordering::Relaxed);
        false
    };
    let ctx = Context { pending: &counting, ..context() };
    let error = search(&wish.request(), &grants, &ctx).unwrap_err();
    assert_eq!(error.closest().map(|(_, class)| class), Some(Class::MatchError));
    let looks = looks.into_inner();
    assert!((6_000_000..10_000_000).contains(&looks), "{looks}");
}

#[test]
fn proofs_in_reverse_order_are_recognised() {
    let [alice, bob, carol] = [1, 2, 3].map(issuer);
    let root = grant(&bob, Some(&alice)).sign(&alice).unwrap();
    let leaf = grant(&carol, Some(&alice)).sign(&bob).unwrap();
    let wish = Wish::new(&carol, &alice);
    let error = validate(&wish.request(), &[leaf, root], &context()).unwrap_err();
    assert_eq!((error.class, error.proof), (Class::InvalidAudience, Some(0)));
    assert!(error.to_string().ends_with("the proofs are in reverse order, the root has to come first"), "{error}");
}

#[test]
fn both_releases_may_meet_in_a_chain_and_fragments_do_not_matter() {
    let [alice, bob] = [1, 2].map(issuer);
    let with_fragment: Did = format!("{}#key", alice.did()).parse().unwrap();
    let root = Delegation::builder(bob.did().clone(), Some(with_fragment), Command::top()).release_candidate();
    let root = root.sign(&alice).unwrap();
    assert_eq!(root.envelope().tag(), tag::DELEGATION_RC1);
    assert!(Wish::new(&bob, &alice).validate(&[&root]).is_ok());
}

#[test]
fn revocation_is_seen_last_and_under_both_names() {
    let [alice, bob] = [1, 2].map(issuer);
    let root = grant(&bob, Some(&alice)).sign(&alice).unwrap();
    let wish = Wish::new(&bob, &alice);
    for name in [*root.cid(), root.envelope().signed_cid()] {
        let revoked = |cid: &Cid, by: &Did| *cid == name && by == alice.did();
        let ctx = Context { revoked: Some(&revoked), ..context() };
        let error = validate(&wish.request(), std::slice::from_ref(&root), &ctx).unwrap_err();
        assert_eq!((error.class, error.proof), (Class::Revoked, Some(0)));
        let late = Context { now: at(NOW), revoked: Some(&revoked), ..context() };
        let expired = grant(&bob, Some(&alice)).expiration(at(1)).sign(&alice).unwrap();
        let error = validate(&wish.request(), &[expired], &late).unwrap_err();
        assert_eq!(error.class, Class::Expired);
        let error = search(&wish.request(), std::slice::from_ref(&root), &ctx).unwrap_err();
        assert!(error.to_string().ends_with("which has been revoked"), "{error}");
    }
}

#[test]
fn whoever_issued_a_proof_or_one_above_it_may_revoke_it_and_nobody_else() {
    let [alice, bob, carol, dave, mallory] = [1, 2, 3, 4, 5].map(issuer);
    let first = grant(&bob, Some(&alice)).sign(&alice).unwrap();
    let second = grant(&carol, Some(&alice)).sign(&bob).unwrap();
    let third = grant(&dave, None).sign(&carol).unwrap();
    // What Mallory says of Carol changes nothing, although she has some authority of her own.
    let aside = [grant(&mallory, Some(&alice)).sign(&alice).unwrap(), grant(&carol, None).sign(&mallory).unwrap()];
    let wish = Wish::new(&dave, &alice);
    let all = [&first, &second, &third, &aside[0], &aside[1]];
    let outcome = |revoked: &Delegation, by: &Issuer| {
        let revoked = |cid: &Cid, who: &Did| cid == revoked.cid() && who == by.did();
        let ctx = Context { revoked: Some(&revoked), ..context() };
        let chain = validate(&wish.request(), &owned(&[&first, &second, &third]), &ctx);
        if let Err(error) = &chain {
            assert_eq!(error.class, Class::Revoked);
        }
        let found = search(&wish.request(), &owned(&all), &ctx);
        assert!(found.iter().all(|found| validate(&wish.request(), &proofs_of(found, &all), &ctx).is_ok()));
        (chain.err().and_then(|error| error.proof), found.ok().map(|found| found.proofs().to_vec()))
    };
    let (whole, detour) = (cids(&[&first, &second, &third]), cids(&[&aside[0], &aside[1], &third]));
    let mut found_whole = 0;
    for (place, proof) in [&first, &second, &third].into_iter().enumerate() {
        for (who, by) in [&alice, &bob, &carol, &dave, &mallory].into_iter().enumerate() {
            let (refused, found) = outcome(proof, by);
            assert_eq!(refused, (who <= place).then_some(place), "{place} by {who}");
            match found {
                Some(found) if found == whole => found_whole += usize::from(refused.is_none()),
                Some(found) => assert_eq!(found, detour),
                None => assert!(place == 2 && (who == 0 || who == 2), "{place} by {who}"),
            }
        }
    }
    assert!(found_whole > 0);
}

fn proofs_of(authority: &Authority, among: &[&Delegation]) -> Vec<Delegation> {
    let by_cid = |cid: &Cid| among.iter().find(|grant| grant.cid() == cid).map(|grant| (*grant).clone());
    authority.proofs().iter().filter_map(by_cid).collect()
}

#[test]
fn authority_waits_for_pending_arguments() {
    let [alice, bob] = [1, 2].map(issuer);
    let policy = Policy::parse(&args(r#"[["like", ".path", "/tmp/*"]]"#)).unwrap();
    let root = grant(&bob, Some(&alice)).policy(policy).expiration(at(NOW + 5)).sign(&alice).unwrap();
    let mut wish = Wish::new(&bob, &alice);
    wish.args = args(r#"{"path": {"await": 1}}"#);
    let pending = |value: &Ipld| matches!(value, Ipld::Map(map) if map.contains_key("await"));
    let ctx = Context { pending: &pending, ..context() };
    let authority = validate(&wish.request(), std::slice::from_ref(&root), &ctx).unwrap();
    assert!(authority.undecided());
    assert_eq!(authority.expiration(), Some(at(NOW + 5)));
    assert!(search(&wish.request(), std::slice::from_ref(&root), &ctx).unwrap().undecided());
    // A chain that waits for nothing is better, even when it is longer.
    let carol = issuer(3);
    let detour = [&grant(&carol, Some(&alice)).sign(&alice).unwrap(), &grant(&bob, None).sign(&carol).unwrap()];
    let found = search(&wish.request(), &[root, detour[0].clone(), detour[1].clone()], &ctx).unwrap();
    assert!(!found.undecided());
    assert_eq!(found.proofs(), cids(&detour));
}

#[test]
fn attenuation_can_be_demanded() {
    let [alice, bob, carol] = [1, 2, 3].map(issuer);
    let root = grant(&bob, Some(&alice)).expiration(at(5)).sign(&alice).unwrap();
    let class = |leaf: DelegationBuilder| {
        check_attenuation(&[root.clone(), leaf.sign(&bob).unwrap()]).map_err(|error| (error.class, error.proof))
    };
    assert_eq!(class(grant(&carol, None).expiration(at(5))), Ok(()));
    assert_eq!(class(grant(&carol, None)), Err((Class::Expired, Some(1))));
    let wide = Delegation::builder(carol.did().clone(), None, Command::top()).expiration(at(4));
    assert_eq!(class(wide), Err((Class::InvalidCommand, Some(1))));
}

#[test]
fn the_shortest_chain_is_found_among_many() {
    let people: Vec<Issuer> = (1..=9).map(issuer).collect();
    let [alice, bob, carol, dave, ..] = &people[..] else { unreachable!() };
    let root = grant(bob, Some(alice)).sign(alice).unwrap();
    let middle = grant(carol, None).sign(bob).unwrap();
    let leaf = grant(dave, Some(alice)).sign(carol).unwrap();
    let short = grant(dave, Some(alice)).sign(bob).unwrap();
    let wish = Wish::new(dave, alice);
    assert_eq!(wish.search(&[&leaf, &middle, &root]), Ok(cids(&[&root, &middle, &leaf])));
    assert_eq!(wish.search(&[&leaf, &middle, &root, &short]), Ok(cids(&[&root, &short])));
    // Every order gives the same chain.
    assert_eq!(wish.search(&[&short, &root, &middle, &leaf]), Ok(cids(&[&root, &short])));
    // Everybody delegates to everybody: still found, and at once.
    let mut crowd: Vec<Delegation> = Vec::new();
    for from in &people[1..] {
        for to in &people[1..] {
            crowd.push(grant(to, None).sign(from).unwrap());
        }
    }
    let mut all: Vec<&Delegation> = crowd.iter().collect();
    assert!(wish.search(&all).is_err());
    all.push(&root);
    assert_eq!(wish.search(&all).unwrap().len(), 2);
}

#[test]
fn among_equally_long_chains_the_one_that_lasts_is_taken() {
    let [alice, bob] = [1, 2].map(issuer);
    let brief = grant(&bob, Some(&alice)).expiration(at(NOW + 1)).sign(&alice).unwrap();
    let long = grant(&bob, Some(&alice)).expiration(at(NOW + 9)).sign(&alice).unwrap();
    let endless = grant(&bob, Some(&alice)).sign(&alice).unwrap();
    let wish = Wish::new(&bob, &alice);
    assert_eq!(wish.search(&[&brief, &long]), Ok(cids(&[&long])));
    assert_eq!(wish.search(&[&brief, &endless, &long]), Ok(cids(&[&endless])));
}

#[test]
fn the_subject_may_have_to_pass_through_itself() {
    // The powerline cannot be the root, but it can follow one that the subject gave to itself.
    let [alice, bob] = [1, 2].map(issuer);
    let powerline = grant(&bob, None).sign(&alice).unwrap();
    let to_self = grant(&alice, Some(&alice)).sign(&alice).unwrap();
    let wish = Wish::new(&bob, &alice);
    assert_eq!(wish.search(&[&powerline, &to_self]), Ok(cids(&[&to_self, &powerline])));
    assert!(wish.validate(&[&to_self, &powerline]).is_ok());
    let error = wish.search(&[&powerline]).unwrap_err();
    assert!(error.to_string().contains("by powerline only"), "{error}");
}

#[test]
fn what_is_missing_is_said() {
    let [alice, bob, carol, dave] = [1, 2, 3, 4].map(issuer);
    let wish = Wish::new(&carol, &alice);
    let missing = format!("no delegation of /file/write on {} reaches {}", alice.did(), carol.did());
    let explain = |grants: &[&Delegation]| {
        let error = wish.search(grants).unwrap_err();
        let text = error.to_string();
        (error.closest().map(|(_, class)| class), text.strip_prefix(&missing).unwrap_or(&text).to_owned())
    };
    assert_eq!(explain(&[]), (None, format!("; nothing about it is delegated to {} here", carol.did())));

    let leaf = grant(&carol, Some(&alice)).sign(&bob).unwrap();
    let end = format!("; it leads back to {}, to whom nobody here delegates it", bob.did());
    assert_eq!(explain(&[&leaf]), (None, end));

    let expired = grant(&bob, Some(&alice)).expiration(at(7)).sign(&alice).unwrap();
    let closest = |grant: &Delegation, why: &str| {
        format!("; the closest is {} from {} to {}, which {why}", grant.cid(), grant.issuer(), grant.audience())
    };
    assert_eq!(explain(&[&leaf, &expired]), (Some(Class::Expired), closest(&expired, "expired at 7")));

    let other = grant(&carol, Some(&dave)).sign(&dave).unwrap();
    let text = closest(&other, &format!("is about {}, not about {}", dave.did(), alice.did()));
    assert_eq!(explain(&[&other]), (Some(Class::InvalidSubject), text));

    let read =
        Delegation::builder(carol.did().clone(), Some(alice.did().clone()), Command::parse("/file/read").unwrap());
    let read = read.sign(&alice).unwrap();
    let text = closest(&read, "is for /file/read only");
    assert_eq!(explain(&[&read, &other]), (Some(Class::InvalidCommand), text));

    let policy = Policy::parse(&args(r#"[["like", ".path", "/home/*"]]"#)).unwrap();
    let home = grant(&carol, Some(&alice)).policy(policy).sign(&alice).unwrap();
    let why = r#"has a policy that refuses this: the arguments violate ["like",".path","/home/*"]"#;
    assert_eq!(explain(&[&read, &home, &other]), (Some(Class::MatchError), closest(&home, why)));
}

#[test]
fn a_search_is_validated_by_validate() {
    // Whatever is found must stand by itself.
    let people: Vec<Issuer> = (1..=5).map(issuer).collect();
    let mut grants = Vec::new();
    for (number, (from, to)) in people.iter().flat_map(|from| people.iter().map(move |to| (from, to))).enumerate() {
        let subject = (number % 3 != 0).then(|| &people[number % 2]);
        let mut builder = grant(to, subject).nonce([u8::try_from(number).unwrap()]);
        if number % 7 == 0 {
            builder = builder.expiration(at(3));
        }
        grants.push(builder.sign(from).unwrap());
    }
    let mut found = 0;
    for invoker in &people {
        for subject in &people[..2] {
            let wish = Wish::new(invoker, subject);
            if let Ok(authority) = search(&wish.request(), &grants, &context()) {
                let proof = |cid: &Cid| grants.iter().find(|grant| grant.cid() == cid).cloned().unwrap();
                let proofs: Vec<_> = authority.proofs().iter().map(proof).collect();
                assert_eq!(validate(&wish.request(), &proofs, &context()), Ok(authority));
                found += 1;
            }
        }
    }
    assert!(found > 4, "{found}");
}
