//! The attribute behind `#[axwire::main]`. Use it through the `axwire` crate.
//!
//! It needs no parser: the function it is put on goes, as it stands, inside the `main` that the
//! kernel (or the host's C runtime) calls.
//!
//! ```compile_fail
//! # extern crate self as axwire;
//! #[axwire_macros::main]
//! fn main() {} // error: axwire::main goes on `async fn main()`
//! ```

use proc_macro::{TokenStream, TokenTree};

/// Makes an `async fn main()` the entry point of an image: the machine is set up, the network comes
/// up, the function runs, and when it returns the machine is powered off.
///
/// The function may return nothing or a `Result` whose error is shown on the console.
///
/// ```standalone_crate
/// # extern crate self as axwire;
/// # pub use axwire_macros::main;
/// # pub fn start<F: Future<Output = Result<(), String>>>(application: F) {
/// #     use std::task::{Context, Poll, Waker};
/// #     let polled = std::pin::pin!(application).poll(&mut Context::from_waker(Waker::noop()));
/// #     assert_eq!(polled, Poll::Ready(Err("there is no network".into())));
/// # }
/// #[axwire::main]
/// async fn main() -> Result<(), String> {
///     Err("there is no network".into())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let tokens = match check(&arguments, &item) {
        Ok(()) => entry(&item),
        Err(message) => format!("::core::compile_error!({message:?});"),
    };
    // Whole items in, whole items out: what does not parse here is an error of the compiler's.
    tokens.parse().unwrap_or_default()
}

fn check(arguments: &TokenStream, item: &TokenStream) -> Result<(), &'static str> {
    if !arguments.is_empty() {
        return Err("axwire::main takes no arguments");
    }
    let words: Vec<String> = item
        .clone()
        .into_iter()
        .take_while(|token| !matches!(token, TokenTree::Group(group) if is_block(group)))
        .map(|token| token.to_string())
        .collect();
    match words.windows(3).any(|words| words == ["async", "fn", "main"]) {
        true => Ok(()),
        false => Err("axwire::main goes on `async fn main()`"),
    }
}

fn is_block(group: &proc_macro::Group) -> bool {
    group.delimiter() == proc_macro::Delimiter::Brace
}

fn entry(item: &TokenStream) -> String {
    format!(
        "#[cfg_attr(target_os = \"none\", unsafe(no_mangle))]
        fn main() {{
            {item}
            ::axwire::start(main())
        }}"
    )
}
