//! Documents over HTTPS, from servers in this process. Nothing outside of 127.0.0.0/8 is ever connected to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::{
    io,
    net::{IpAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Reply, Server, document, fixed};
use ipvm_did_web::{DidWeb, DidWebError, FetchError, LocationError, Lookup, Options, RootCertStore, SystemLookup};
use ucan_core::{
    CachedResolver, ChainErrorClass, Context, Delegation, Did, DidResolver, FixedClock, Ipld, Issuer, KeyError,
    KeySource, Purpose, Request, ResolvedKeys, Resolvers, Timestamp, Token, validate,
};
use varsig::{SecretKey, SignatureAlgorithm};

fn key(seed: u8) -> SecretKey {
    SecretKey::generate(SignatureAlgorithm::Es256, &mut |bytes| bytes.fill(seed)).unwrap()
}

/// A resolver that may connect to 127.0.0.1 and to nothing else that is not public.
fn resolver(server: &Server, options: impl FnOnce(Options) -> Options) -> DidWeb {
    with_lookup(server, Arc::new(fixed(&[("a.test", &["127.0.0.1"]), ("b.test", &["127.0.0.2"])])), options)
}

fn with_lookup(server: &Server, lookup: Arc<dyn Lookup>, options: impl FnOnce(Options) -> Options) -> DidWeb {
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    let options = options(Options::default().with_roots(server.roots()).with_allowed_network(local.into()));
    DidWeb::new(Arc::new(common::clock()), lookup, options).unwrap()
}

async fn failure(resolver: &DidWeb, did: &Did) -> FetchError {
    match resolver.document(did).await {
        Err(DidWebError::Fetch(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_chain_with_a_did_web_issuer_is_valid() {
    let secret = key(1);
    let public = secret.public_key();
    let server = Server::start(move |host, path| {
        assert_eq!(path, "/users/alice/did.json");
        Reply::ok(document(&format!("did:web:{}:users:alice", host.replace(':', "%3A")), &public, &[]))
    })
    .await;
    let alice = Issuer::new(server.did("a.test:users:alice"), secret.into_signer());
    let bob = Issuer::from_key(key(2));
    let grant = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/msg".parse().unwrap());
    let proofs = [grant.sign(&alice).unwrap()];

    let resolvers = Resolvers::new().with("web", Arc::new(resolver(&server, |options| options)));
    let principals = || proofs.iter().chain(&proofs).map(|proof| (proof.issuer(), proof.purpose()));
    let keys = ResolvedKeys::fetch(&resolvers, principals()).await;
    assert_eq!(server.requests(), 1, "each principal is resolved once");
    let (command, args) = ("/msg/send".parse().unwrap(), Ipld::Map(Default::default()));
    let request = Request { invoker: bob.did(), subject: alice.did(), command: &command, args: &args };
    assert!(validate(&request, &proofs, &Context::new(Timestamp::EPOCH, &keys)).is_ok());

    // Another one's signature.
    let mallory = Issuer::new(alice.did().clone(), key(3).into_signer());
    let grant = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/msg".parse().unwrap());
    let forged = [grant.sign(&mallory).unwrap()];
    let error = validate(&request, &forged, &Context::new(Timestamp::EPOCH, &keys)).unwrap_err();
    assert_eq!((error.class, error.proof), (ChainErrorClass::InvalidSignature, Some(0)));

    // Remembered for a while.
    let cached = CachedResolver::new(resolvers, Arc::new(FixedClock(Timestamp::EPOCH)), 60);
    for _ in 0..3 {
        assert_eq!(cached.resolve(alice.did(), Purpose::Delegation).await.unwrap().len(), 1);
    }
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn relationships_of_a_fetched_document() {
    let public = key(1).public_key();
    let server = Server::start(move |host, _| {
        Reply::ok(document(&format!("did:web:{}", host.replace(':', "%3A")), &public, &["capabilityInvocation"]))
    })
    .await;
    let resolver = resolver(&server, |options| options);
    let alice = server.did("a.test");
    assert_eq!(resolver.resolve(&alice, Purpose::Invocation).await.unwrap().len(), 1);
    let purpose = Purpose::Delegation;
    let error = KeyError::NotAuthorized { did: alice.clone(), purpose };
    assert_eq!(resolver.resolve(&alice, purpose).await, Err(error));
    let unknown = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp".parse().unwrap();
    assert!(matches!(resolver.resolve(&unknown, purpose).await, Err(KeyError::UnsupportedMethod { .. })));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let size = |size: usize| Reply::ok(vec![b' '; size]);
    for reply in [size(1001), Reply::Endless, Reply::WithoutLength(1001)] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let resolver = resolver(&server, |options| options.with_max_body(1000));
        assert_eq!(failure(&resolver, &server.did("a.test")).await, FetchError::TooLarge { limit: 1000 });
    }
    // As much as is allowed is read.
    for reply in [size(1000), Reply::WithoutLength(1000)] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let resolver = resolver(&server, |options| options.with_max_body(1000));
        assert!(matches!(resolver.document(&server.did("a.test")).await, Err(DidWebError::Document(_))));
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_none() {
    let server = Server::start(|_, _| Reply::CutShort).await;
    let resolver = resolver(&server, |options| options);
    assert!(matches!(failure(&resolver, &server.did("a.test")).await, FetchError::Http { .. }));
}

#[tokio::test]
async fn heads_are_bounded() {
    // More than 16 KiB, and less than what is too much for hyper.
    for reply in [Reply::LongHead(17 << 10), Reply::EndlessHead] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let resolver = resolver(&server, |options| options);
        match failure(&resolver, &server.did("a.test")).await {
            FetchError::Http { detail, .. } => assert_eq!(detail, "message head is too large"),
            other => panic!("{other}"),
        }
    }
    let server = Server::start(|_, _| Reply::LongHead(15 << 10)).await;
    let resolver = resolver(&server, |options| options);
    assert!(matches!(resolver.document(&server.did("a.test")).await, Err(DidWebError::Document(_))));
}

#[tokio::test]
async fn there_is_one_deadline_for_everything() {
    let deadline = Duration::from_millis(300);
    for reply in [Reply::Slow, Reply::Silent] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let resolver = resolver(&server, |options| options.with_deadline(deadline));
        assert_eq!(failure(&resolver, &server.did("a.test")).await, FetchError::Deadline { deadline });
    }

    let server = Server::start(|_, _| Reply::Silent).await;
    let lookup = Arc::new(Slow { pause: Duration::MAX, ..Slow::default() });
    let resolver = with_lookup(&server, lookup, |options| options.with_deadline(deadline));
    assert_eq!(failure(&resolver, &server.did("a.test")).await, FetchError::Deadline { deadline });

    // Connections are accepted by the system, and nobody says anything.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let resolver = self::resolver(&server, |options| options.with_deadline(deadline));
    let did = format!("did:web:a.test%3A{port}").parse().unwrap();
    assert_eq!(failure(&resolver, &did).await, FetchError::Deadline { deadline });
}

#[tokio::test]
async fn an_address_without_tls_leaves_time_for_the_next() {
    let server = Server::start(|_, _| Reply::Status(404)).await;
    let _mute = TcpListener::bind(("127.0.0.3", server.port())).unwrap();
    let lookup = fixed(&[("a.test", &["127.0.0.3", "127.0.0.1"])]);
    let resolver = with_lookup(&server, Arc::new(lookup), |options| {
        options.with_allowed_network("127.0.0.3/32".parse().unwrap()).with_deadline(Duration::from_secs(2))
    });
    assert!(matches!(failure(&resolver, &server.did("a.test")).await, FetchError::Status { status: 404, .. }));
}

/// Takes its time to find nothing, and counts.
#[derive(Debug, Default)]
struct Slow {
    pause: Duration,
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait::async_trait]
impl Lookup for Slow {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(self.pause).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_few_documents_are_fetched_at_the_same_time() {
    let server = Server::start(|_, _| Reply::Silent).await;
    let fetch = |most: usize, pause, deadline| {
        let lookup = Arc::new(Slow { pause, ..Slow::default() });
        let limits = |options: Options| options.with_max_concurrent(most).with_deadline(deadline);
        let resolver = Arc::new(with_lookup(&server, lookup.clone(), limits));
        let dids = (0..6).map(|number| server.did(&format!("a.test:{number}")));
        let tasks: Vec<_> = dids
            .map(|did| (did, resolver.clone()))
            .map(|(did, resolver)| tokio::spawn(async move { failure(&resolver, &did).await }))
            .collect();
        async move {
            let mut errors = Vec::new();
            for task in tasks {
                errors.push(task.await.unwrap());
            }
            (lookup.most.load(Ordering::SeqCst), errors)
        }
    };
    for (limit, most) in [(0, 1), (1, 1), (2, 2), (usize::MAX, 6)] {
        let (counted, errors) = fetch(limit, Duration::from_millis(20), Duration::from_secs(10)).await;
        assert_eq!(counted, most);
        assert!(errors.iter().all(|error| matches!(error, FetchError::Connect { .. })), "{errors:?}");
    }
    // Whoever waits for a place does not wait longer than the deadline.
    let (start, deadline) = (Instant::now(), Duration::from_millis(300));
    let (_, errors) = fetch(1, Duration::MAX, deadline).await;
    assert!(errors.iter().all(|error| *error == FetchError::Deadline { deadline }), "{errors:?}");
    assert!(start.elapsed() < 3 * deadline);
}

#[tokio::test]
async fn one_document_answers_all_questions_about_its_principal() {
    let public = key(1).public_key();
    let server = Server::start(move |host, _| {
        Reply::ok(document(&format!("did:web:{}", host.replace(':', "%3A")), &public, &["capabilityDelegation"]))
    })
    .await;
    let resolvers: Arc<dyn DidResolver> =
        Arc::new(Resolvers::new().with("web", Arc::new(resolver(&server, |options| options))));
    let cached = CachedResolver::new(resolvers, Arc::new(common::clock()), 60);
    let alice = server.did("a.test");
    let named = |fragment: &str| -> Did { format!("{alice}#{fragment}").parse().unwrap() };
    let mut dids: Vec<Did> = (0..40).map(|number| named(&number.to_string())).collect();
    dids.extend([named("key"), alice.clone()]);
    let questions = || dids.iter().flat_map(|did| [(did, Purpose::Delegation), (did, Purpose::Invocation)]);
    let keys = ResolvedKeys::fetch(&cached, questions()).await;
    assert_eq!(server.requests(), 1);
    assert_eq!(keys.errors().count(), 82, "all but two");
    for did in dids.iter().skip(40) {
        assert!(keys.verifier(did, SignatureAlgorithm::Es256, Purpose::Delegation).is_ok());
    }
    ResolvedKeys::fetch(&cached, dids.iter().skip(40).map(|did| (did, Purpose::Delegation))).await;
    assert_eq!(server.requests(), 1, "remembered");
}

#[tokio::test]
async fn keys_are_judged_by_the_clock() {
    let public = key(1).public_key();
    for (expires, usable) in [("2026-01-01T00:00:01Z", true), ("2026-01-01T00:00:00Z", false)] {
        let public = public.clone();
        let server = Server::start(move |host, _| {
            let text = document(&format!("did:web:{}", host.replace(':', "%3A")), &public, &[]);
            Reply::ok(text.replace(r##""id":"#key""##, &format!(r##""id":"#key","expires":"{expires}""##)))
        })
        .await;
        let resolver = resolver(&server, |options| options);
        assert_eq!(resolver.resolve(&server.did("a.test"), Purpose::Delegation).await.is_ok(), usable, "{expires}");
    }
}

#[tokio::test]
async fn errors_quote_little_and_no_addresses() {
    let long = "x".repeat(5000);
    let url = format!("https://a.test/{long}");
    for reply in
        [Reply::redirect(&url), Reply::redirect("https://10.11.12.13.example/"), Reply::ok(format!("{long:?}"))]
    {
        let server =
            Server::start(move |_, path| if path.len() < 99 { reply.clone() } else { Reply::Status(500) }).await;
        let lookup = fixed(&[("a.test", &["127.0.0.1"]), ("10.11.12.13.example", &["10.0.0.99"])]);
        // The port of the server is not that of HTTPS, so that the first redirect finds nobody.
        let resolver = with_lookup(&server, Arc::new(lookup), |options| options);
        let error = resolver.resolve(&server.did("a.test"), Purpose::Delegation).await.unwrap_err().to_string();
        assert!(error.len() < 500, "{error}");
        assert!(!error.contains("10.0.0.99"), "{error}");
    }
    let server = Server::start(
        move |_, path| if path.len() < 99 { Reply::redirect(&format!("/{long}")) } else { Reply::Status(500) },
    )
    .await;
    match failure(&resolver(&server, |options| options), &server.did("a.test")).await {
        FetchError::Status { url, status: 500 } => assert!(url.len() < 130, "{url}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn redirects_are_followed_a_few_times() {
    let public = key(1).public_key();
    let server = Server::start(move |host, path| match path {
        "/.well-known/did.json" => Reply::redirect(&format!("https://{host}/moved?to=1")),
        "/moved?to=1" => Reply::redirect("/here"),
        "/here" => Reply::ok(document(&format!("did:web:{}", host.replace(':', "%3A")), &public, &[])),
        _ => Reply::redirect(path),
    })
    .await;
    let alice = server.did("a.test");
    assert!(resolver(&server, |options| options.with_max_redirects(2)).document(&alice).await.is_ok());
    let strict = resolver(&server, |options| options.with_max_redirects(1));
    assert_eq!(failure(&strict, &alice).await, FetchError::TooManyRedirects { limit: 1 });
    let loops = resolver(&server, |options| options.with_max_redirects(10));
    let before = server.requests();
    assert_eq!(failure(&loops, &server.did("a.test:loop")).await, FetchError::TooManyRedirects { limit: 10 });
    assert_eq!(server.requests() - before, 11);
}

#[tokio::test]
async fn redirects_lead_to_public_places_over_https() {
    let to = |location: &'static str| async move {
        let server = Server::start(move |_, _| Reply::redirect(location)).await;
        let error = failure(&resolver(&server, |options| options), &server.did("a.test")).await;
        assert_eq!(server.requests(), 1);
        error
    };
    for (location, address) in [
        ("https://b.test/did.json", "127.0.0.2"),
        ("https://127.0.0.2/did.json", "127.0.0.2"),
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("https://[::1]/", "::1"),
        ("https://[::ffff:10.0.0.1]/", "::ffff:10.0.0.1"),
        ("https://[64:ff9b::10.0.0.1]/", "64:ff9b::a00:1"),
    ] {
        match to(location).await {
            FetchError::NotPublic { address: found, .. } => assert_eq!(found.to_string(), address),
            other => panic!("{location}: {other}"),
        }
    }
    for (location, expected) in [
        ("http://a.test/did.json", LocationError::Insecure),
        ("http://127.0.0.1/", LocationError::Insecure),
        ("file:///etc/passwd", LocationError::Redirect),
        ("https://2130706433/", LocationError::Host),
        ("https://0x7f.1/", LocationError::Host),
        ("//b.test/did.json", LocationError::Redirect),
        ("did.json", LocationError::Redirect),
        ("", LocationError::Redirect),
    ] {
        match to(location).await {
            FetchError::Redirect { source, .. } => assert_eq!(source, expected, "{location}"),
            other => panic!("{location}: {other}"),
        }
    }
}

#[tokio::test]
async fn names_lead_to_public_addresses() {
    let server = Server::start(|_, _| Reply::ok("{}")).await;
    for (addresses, refused) in [
        (&["127.0.0.2"][..], "127.0.0.2"),
        (&["10.0.0.1"], "10.0.0.1"),
        (&["fd00::1"], "fd00::1"),
        (&["::ffff:192.168.0.1"], "::ffff:192.168.0.1"),
        // In both orders: one that is private spoils those that are not, and nothing is connected to.
        (&["1.1.1.1", "127.0.0.2"], "127.0.0.2"),
        (&["127.0.0.2", "1.1.1.1"], "127.0.0.2"),
        (&["127.0.0.1", "127.0.0.2"], "127.0.0.2"),
    ] {
        let resolver = with_lookup(&server, Arc::new(fixed(&[("a.test", addresses)])), |options| options);
        match failure(&resolver, &server.did("a.test")).await {
            FetchError::NotPublic { host, address } => {
                assert_eq!((host.as_str(), address.to_string().as_str()), ("a.test", refused));
            }
            other => panic!("{addresses:?}: {other}"),
        }
    }
    let resolver = with_lookup(&server, Arc::new(fixed(&[("a.test", &[])])), |options| options);
    assert!(matches!(failure(&resolver, &server.did("a.test")).await, FetchError::Connect { .. }));
    assert!(matches!(failure(&resolver, &server.did("b.test")).await, FetchError::Lookup { .. }));
    assert_eq!(server.requests(), 0);

    // The resolver of the machine knows one name without asking anybody; nothing is allowed that is not public.
    let strict = DidWeb::new(Arc::new(common::clock()), Arc::new(SystemLookup), Options::default()).unwrap();
    assert!(matches!(failure(&strict, &server.did("localhost")).await, FetchError::NotPublic { .. }));
}

/// Gives another address each time.
#[derive(Debug)]
struct Rebinding(Mutex<Vec<&'static str>>);

#[async_trait::async_trait]
impl Lookup for Rebinding {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![self.0.lock().unwrap().remove(0).parse().unwrap()])
    }
}

#[tokio::test]
async fn a_name_that_moves_is_looked_at_again() {
    let server = Server::start(|_, path| Reply::redirect(&format!("{path}x"))).await;
    let lookup = Rebinding(Mutex::new(vec!["127.0.0.1", "127.0.0.1", "127.0.0.2"]));
    let resolver = with_lookup(&server, Arc::new(lookup), |options| options);
    let address = "127.0.0.2".parse().unwrap();
    let error = FetchError::NotPublic { host: "a.test".to_owned(), address };
    assert_eq!(failure(&resolver, &server.did("a.test")).await, error);
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn what_does_not_answer_at_one_address_may_do_so_at_another() {
    let server = Server::start(|_, _| Reply::Status(404)).await;
    let lookup = fixed(&[("a.test", &["127.0.0.3", "127.0.0.1"])]);
    let resolver =
        with_lookup(&server, Arc::new(lookup), |options| options.with_allowed_network("127.0.0.3/32".parse().unwrap()));
    // The server listens on 127.0.0.1 only.
    assert!(matches!(failure(&resolver, &server.did("a.test")).await, FetchError::Status { status: 404, .. }));
}

#[tokio::test]
async fn only_status_200_is_an_answer() {
    for status in [201, 204, 206, 300, 304, 400, 404, 500] {
        let server = Server::start(move |_, _| Reply::Status(status)).await;
        let resolver = resolver(&server, |options| options);
        match failure(&resolver, &server.did("a.test")).await {
            FetchError::Status { status: got, .. } => assert_eq!(got, status),
            other => panic!("{status}: {other}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_document_of_the_principal() {
    let deep = "[".repeat(60_000);
    for body in ["not JSON", "{}", r#"{"id": "did:web:other.example"}"#, &deep] {
        let body = body.to_owned();
        let server = Server::start(move |_, _| Reply::ok(body.clone())).await;
        let resolver = resolver(&server, |options| options);
        let alice = server.did("a.test");
        assert!(matches!(resolver.document(&alice).await, Err(DidWebError::Document(_))));
        let error = resolver.resolve(&alice, Purpose::Delegation).await.unwrap_err();
        assert!(matches!(error, KeyError::Unresolved { .. }));

        // Where there is no key, there is no signature.
        let keys = ResolvedKeys::fetch(&resolver, [(&alice, Purpose::Delegation)]).await;
        assert_eq!(keys.errors().collect::<Vec<_>>(), [(&alice, Purpose::Delegation, &error)]);
    }
}

#[tokio::test]
async fn certificates_are_checked() {
    let server = Server::start(|_, _| Reply::ok("{}")).await;
    let lookup = || Arc::new(fixed(&[("a.test", &["127.0.0.1"]), ("c.test", &["127.0.0.1"])]));
    let refused = |resolver: DidWeb, did: Did| async move {
        match failure(&resolver, &did).await {
            FetchError::Connect { detail, .. } => detail,
            other => panic!("{other}"),
        }
    };
    // Of somebody whom nobody trusts.
    let resolver = with_lookup(&server, lookup(), |options| options.with_roots(RootCertStore::empty()));
    assert!(refused(resolver, server.did("a.test")).await.contains("UnknownIssuer"));
    // For another name.
    let resolver = with_lookup(&server, lookup(), |options| options);
    assert!(refused(resolver, server.did("c.test")).await.contains("not valid for name"));
    // Long ago.
    let options = Options::default().with_roots(server.roots()).with_allowed_network("127.0.0.1/32".parse().unwrap());
    let late = FixedClock(Timestamp::from_secs(100_000_000_000).unwrap());
    let resolver = DidWeb::new(Arc::new(late), lookup(), options).unwrap();
    assert!(refused(resolver, server.did("a.test")).await.contains("expired"));
    assert_eq!(server.requests(), 0);
}
