//! What `wit/guest.wit` says that the guest can do.

wit_bindgen::generate!({ path: "wit", world: "guest" });

struct Component;

impl Guest for Component {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Component);
