// Ends in the way that its argument names: panics of Rust.
use std::env;

// std's own black_box is younger than the compilers of some distributions.
#[inline(never)]
fn black_box<T>(value: T) -> T {
    let copy = unsafe { std::ptr::read_volatile(&value) };
    std::mem::forget(value);
    copy
}

#[inline(never)]
fn deep(n: u64) -> u64 {
    let room = black_box([n; 40]);
    deep(n + 1) + room[7]
}

fn main() {
    let kind = env::args().nth(1).unwrap_or_default();
    let zero = black_box(0usize);
    match kind.as_str() {
        "text" => panic!("constant words"),
        "format" => panic!("number {} and more", kind.len()),
        "unwrap" => {
            let none: Option<u8> = black_box(None);
            none.unwrap();
        }
        "expect" => {
            let bad: Result<u8, String> = black_box(Err("bad".into()));
            bad.expect("wanted a number");
        }
        "index" => println!("{}", vec![1, 2][zero + 7]),
        "zero" => println!("{}", 5 / zero),
        "any" => std::panic::panic_any(17u64),
        "string" => std::panic::panic_any(String::from("owned words")),
        "thread" => std::thread::spawn(|| panic!("in a thread")).join().unwrap(),
        "abort" => std::process::abort(),
        "deep" => println!("{}", deep(1)),
        "alloc" => println!("{}", Vec::<u8>::with_capacity((1 << 46) + zero).capacity()),
        _ => {}
    }
}
