//! The guests that homestar publishes, in the compatibility mode, with the results that its own tests expect.
//!
//! They are not part of this repository. The tests read them from the folder that `IPVM_HOMESTAR_FIXTURES` names, and are skipped
//! without it; they say then what has to be there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use data_encoding::BASE64;
use ipvm_task::{
    CallError, Compat, Component, Execution, Limits, Params, PrepareError, Runtime, WasmtimeOptions, WasmtimeRuntime,
};
use ucan_core::{Ipld, block};

const FIXTURES: &str = "IPVM_HOMESTAR_FIXTURES";
const HOW: &str = "set it to a folder with these files of https://github.com/ipvm-wg/homestar: homestar-wasm/fixtures/*, \
    examples/websocket-relay/synthcat.png";

fn fixture(name: &str) -> Option<Vec<u8>> {
    let Some(folder) = std::env::var_os(FIXTURES) else {
        eprintln!("SKIPPED for want of {name}: {FIXTURES} is not set; {HOW}");
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    Some(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; {FIXTURES}: {HOW}", path.display())))
}

static RUNTIME: LazyLock<WasmtimeRuntime> = LazyLock::new(|| {
    WasmtimeRuntime::new(&WasmtimeOptions { compat: Some(Compat::Homestar), ..WasmtimeOptions::default() }).unwrap()
});

fn prepare(wasm: &[u8]) -> Result<Arc<dyn Component>, PrepareError> {
    RUNTIME.prepare(&block::raw_cid(wasm), wasm)
}

/// To blur half a megapixel by twenty is much work.
const LIMITS: Limits = Limits { fuel: 1_000_000_000_000, ..Limits::STANDARD };

struct Guest(Arc<dyn Component>);

impl Guest {
    fn read(name: &str) -> Option<Self> {
        let mut wasm = fixture(name)?;
        if name.ends_with(".wat") {
            wasm = wat::parse_bytes(&wasm).unwrap().into_owned();
        }
        Some(Self(prepare(&wasm).unwrap_or_else(|error| panic!("{name}: {error}"))))
    }

    fn call<const N: usize>(&self, fun: &str, params: [Ipld; N]) -> Ipld {
        let completion = self.0.call(fun, &Ipld::List(params.to_vec()), &LIMITS);
        completion.unwrap_or_else(|error| panic!("{fun}: {error}")).output
    }

    fn crop(&self, image: &Ipld, [x, y, width, height]: [u32; 4]) -> Ipld {
        let [x, y, width, height] = [x, y, width, height].map(|n| Ipld::Integer(n.into()));
        self.call("crop", [image.clone(), x, y, width, height])
    }

    fn rotate(&self, image: &Ipld) -> Ipld {
        self.call("rotate90", [image.clone()])
    }
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn list<const N: usize>(items: [Ipld; N]) -> Ipld {
    Ipld::List(items.to_vec())
}

fn ints<const N: usize>(ints: [i128; N]) -> Ipld {
    list(ints.map(Ipld::Integer))
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

/// An image of 20 by 20 pixels, as its tests have one, in colours that change abruptly and without compression.
fn png() -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    };
    let chunk = |name: &[u8], data: &[u8]| {
        let named = [name, data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &named, &crc(&named).to_be_bytes()].concat()
    };
    let row = |y: u8| {
        std::iter::once(0).chain((0..20).flat_map(move |x: u8| [x * 12, y * 12, (x ^ y).wrapping_mul(83), 255]))
    };
    let pixels: Vec<u8> = (0..20).flat_map(row).collect();
    let (a, b) = pixels.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let length = u16::try_from(pixels.len()).unwrap();
    let stored = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &pixels].concat();
    let data = [stored, (b << 16 | a).to_be_bytes().to_vec()].concat();
    // 20 by 20, 8 bits for each of red, green, blue and alpha.
    let header = [0, 0, 0, 20, 0, 0, 0, 20, 8, 6, 0, 0, 0];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &data), chunk(b"IEND", &[])].concat()
}

/// Width and height, and the kind of colour (4 is gray and 6 is red, green and blue, both with opacity), as the header of an image
/// says.
fn header(image: &Ipld) -> (u32, u32, u8) {
    let Ipld::Bytes(bytes) = image else { panic!("no bytes: {image:?}") };
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20), bytes[25])
}

fn cid(image: &Ipld) -> String {
    let Ipld::Bytes(bytes) = image else { panic!("no bytes: {image:?}") };
    block::raw_cid(bytes).to_string()
}

/// Those with WASI ask for it as the standard library of Rust does, whatever they do with it.
const TEST_GUESTS: [&str; 6] = [
    "example_test.wasm",
    "example_test_component.wasm",
    "example_test_cargo_component.wasm",
    "example_test_wasi.wasm",
    "example_test_wasi_component.wasm",
    "example_test_cargo_component_wasi.wasm",
];

#[test]
fn the_functions_of_its_test_guest_give_what_its_tests_expect() {
    for name in TEST_GUESTS {
        let Some(guest) = Guest::read(name) else { return };
        assert_eq!(guest.0.exports().len(), 17);
        let (own, others) = guest.0.imports().split_at(2);
        assert_eq!(own, ["wasi:logging/logging", "homestar:host/helpers@0.1.1"].map(str::to_owned));
        assert!(others.iter().all(|import| import.starts_with("wasi:") && import.contains("@0.2.")), "{others:?}");

        assert_eq!(guest.call("add_one", [Ipld::Integer(1)]), Ipld::Integer(2));
        assert_eq!(guest.call("add-one", [Ipld::Integer(10)]), Ipld::Integer(11));
        assert_eq!(guest.call("append-string", [text("Natural Science")]), text("Natural Science\nworld"));
        assert_eq!(guest.call("join-strings", [text("Round"), text("about")]), text("Roundabout"));
        assert_eq!(guest.call("%join-strings", [text("RoundRound"), text("about")]), text("RoundRoundabout"));
        // The clock stands still.
        assert_eq!(guest.call("host_fmt_current_time", []), text("00:00.000"));

        let matrix = list([ints([1, 2, 3]), ints([4, 5, 6]), ints([7, 8, 9])]);
        let transposed = guest.call("transpose", [matrix.clone()]);
        assert_eq!(transposed, list([ints([1, 4, 7]), ints([2, 5, 8]), ints([3, 6, 9])]));
        assert_eq!(guest.call("transpose", [transposed]), matrix);

        assert_eq!(guest.call("pop", [ints([])]), Ipld::Null);
        assert_eq!(guest.call("pop", [ints([1])]), Ipld::Integer(1));
        assert_eq!(guest.call("binary_search", [ints([1]), Ipld::Integer(2)]), list([Ipld::Null, Ipld::Integer(1)]));
        assert_eq!(guest.call("binary_search", [ints([1]), Ipld::Integer(1)]), list([Ipld::Integer(0), Ipld::Null]));
        let one = map([("name", text("1")), ("val", Ipld::Integer(1))]);
        assert_eq!(guest.call("num_to_kv", [list([Ipld::Integer(1), Ipld::Null])]), one);
        let none = map([("name", text("NAN")), ("val", Ipld::Null)]);
        assert_eq!(guest.call("num_to_kv", [list([Ipld::Null, text("bad stuff")])]), none);

        // What the standard hasher of Rust gives for the text, from the most significant byte on.
        let hash = |text: &str| {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            Ipld::Bytes(hasher.finish().to_be_bytes().to_vec())
        };
        assert_eq!(guest.call("hash", [text("some data")]), hash("some data"));
    }
}

#[test]
fn the_image_functions_of_its_test_guest_take_bytes_lists_and_urls() {
    let png = png();
    let url = text(&format!("data:image/png;base64,{}", BASE64.encode(&png)));
    let by_list = Ipld::List(png.iter().map(|byte| Ipld::Integer((*byte).into())).collect());
    let bytes = Ipld::Bytes(png);
    for name in TEST_GUESTS {
        let Some(guest) = Guest::read(name) else { return };
        // What lies beyond the image is cut off.
        let cropped = guest.crop(&bytes, [10, 10, 50, 50]);
        assert_eq!(header(&cropped), (10, 10, 6));
        assert_eq!(guest.crop(&by_list, [10, 10, 50, 50]), cropped);
        let [ten, fifty] = [10, 50].map(Ipld::Integer);
        let by_url = guest.call("cropBase64", [url.clone(), ten.clone(), ten, fifty.clone(), fifty]);
        assert_eq!(by_url, cropped);

        let turned = guest.rotate(&bytes);
        assert_eq!(header(&turned), (20, 20, 6));
        assert_eq!(guest.call("Rotate90Base64", [url.clone()]), turned);
        let gray = guest.call("grayscale", [by_list.clone()]);
        assert_eq!(header(&gray), (20, 20, 4));
        assert_eq!(guest.call("GRAYSCALE_BASE64", [url.clone()]), gray);
        let blurred = guest.call("blur", [bytes.clone(), Ipld::Float(0.3)]);
        assert_eq!(header(&blurred), (20, 20, 6));
        assert_eq!(guest.call("blur_base64", [url.clone(), Ipld::Float(0.3)]), blurred);

        // Its steps go together as those of pictures do.
        let whole = guest.crop(&bytes, [0, 0, 20, 20]);
        let full_turn = (0..4).fold(whole.clone(), |image, _| guest.rotate(&image));
        assert_eq!(full_turn, whole);
        assert!(turned != whole && blurred != whole);
        // Clockwise: what was at the upper left is at the upper right.
        assert_eq!(guest.rotate(&guest.crop(&bytes, [2, 3, 5, 7])), guest.crop(&turned, [20 - 3 - 7, 2, 7, 5]));
        assert_eq!(guest.call("grayscale", [turned]), guest.rotate(&gray));
    }
}

#[test]
fn its_example_workflow_on_a_photograph_gives_the_same_images_everywhere() {
    let (Some(photograph), Some(guest)) = (fixture("synthcat.png"), Guest::read("example_test.wasm")) else { return };
    let cropped = guest.crop(&Ipld::Bytes(photograph), [150, 350, 500, 500]);
    let turned = guest.rotate(&cropped);
    let gray = guest.call("grayscale", [turned.clone()]);
    let blurred = guest.call("blur", [turned.clone(), Ipld::Float(20.2)]);
    assert_eq!(
        [&cropped, &turned, &gray, &blurred].map(header),
        [(500, 500, 6), (500, 500, 6), (500, 500, 4), (500, 500, 6)]
    );
    // The first three are, pixel for pixel, what the definitions of these steps make of the photograph.
    assert_eq!(
        [&cropped, &turned, &gray, &blurred].map(cid),
        [
            "bafkreigcev4k2recvlg2knaxprixuslmteak6gzjccutyxpqhu3ccgn3z4",
            "bafkreidr5igk7yz5mxkhl7lymbywommys4ooryltxa6jefrskwxdfnko5i",
            "bafkreieuky2izp4cc6l2vsxdlxjs3lmqqhwhoj23jmqspysgcxbpb3qzlu",
            "bafkreiaxouler3fznay5ql6oriqchcw77tngwikb3s7obro4v5pnfjxcdi",
        ]
    );
}

#[test]
fn its_arithmetic_guests_give_what_its_tests_expect() {
    for name in [
        "example_add.wasm",
        "example_add_component.wasm",
        "example_add_component.wat",
        "example_add_cargo_component_wasi.wasm",
        "example_add_cargo_component_wasi.wat",
    ] {
        let Some(guest) = Guest::read(name) else { return };
        assert_eq!(guest.call("add_two", [Ipld::Integer(1)]), Ipld::Integer(3), "{name}");
    }
    for name in [
        "example_subtract.wasm",
        "example_subtract_component.wasm",
        "example_subtract_component.wat",
        "example_subtract_cargo_component_wasi.wasm",
        "example_subtract_cargo_component_wasi.wat",
    ] {
        let Some(guest) = Guest::read(name) else { return };
        assert_eq!(guest.call("SUBTRACT", [1, 1].map(Ipld::Integer)), Ipld::Float(0.0), "{name}");
        assert_eq!(guest.call("subtractInt", [Ipld::Float(1.0), Ipld::Float(2.0)]), Ipld::Integer(-1), "{name}");
    }
}

#[test]
fn its_core_modules_in_text_form_state_no_types() {
    for name in ["example_add.wat", "example_subtract.wat"] {
        let Some(text) = fixture(name) else { return };
        assert_eq!(prepare(&wat::parse_bytes(&text).unwrap()).unwrap_err(), PrepareError::CoreModule);
    }
}

#[test]
fn what_its_guests_log_is_in_the_trace_and_costs_the_same_every_time() {
    let Some(guest) = Guest::read("example_test.wasm") else { return };
    let params = Ipld::List(vec![Ipld::Integer(1)]);
    let call = || guest.0.execute(&Execution::new("add-one", Params::Ipld(&params), &Limits::STANDARD));
    let executed = call();
    let [line] = executed.trace.lines() else { panic!("{:?}", executed.trace) };
    assert_eq!((line.to, &*line.context, &*line.text), ("info", "run-fn", "add-one"));
    // Arguments are checked in the same forms in which they are taken.
    let loose = Ipld::List(vec![list([Ipld::Integer(1), Ipld::Null])]);
    assert!(guest.0.check("num_to_kv", &loose, &|_| false).is_ok());
    assert!(guest.0.check("num_to_kv", &Ipld::List(vec![]), &|_| false).is_err());
    let (one, other) = (executed.result.unwrap(), call().result.unwrap());
    assert_eq!((one.output, one.fuel), (other.output, other.fuel));
}

#[test]
fn its_guests_are_held_to_their_memory() {
    let Some(guest) = Guest::read("example_test.wasm") else { return };
    let limits = Limits { memory: 10, ..Limits::STANDARD };
    let error = guest.0.call("add_one", &ints([1]), &limits).unwrap_err();
    assert!(matches!(error, CallError::OutOfMemory { limit: 10, .. }), "{error}");
}

#[test]
fn there_is_no_function_of_another_name() {
    let Some(guest) = Guest::read("example_test.wasm") else { return };
    let error = guest.0.call("add-onez", &Ipld::List(vec![]), &Limits::STANDARD).unwrap_err();
    assert_eq!(error.to_string(), "there is no export `add-onez` (did you mean `add-one`?)");
}
