//! echo on the bare ABI (abi/ABI.md), without the SDK: all that a guest must have.
#![no_std]
#![allow(non_snake_case)]

#[link(wasm_import_module = "transport")]
extern "C" {
    fn write(conn: i32, ptr: *const u8, len: usize) -> i32;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

static mut RECEIVE: [u8; 65536] = [0; 65536];

#[no_mangle]
extern "C" fn abi_version_1() {}

#[no_mangle]
extern "C" fn receiveBuffer() -> i64 {
    #[allow(unused_unsafe)] // newer compilers ask for none
    let ptr = unsafe { core::ptr::addr_of_mut!(RECEIVE) };
    (ptr as i64) << 32 | 65536
}

#[no_mangle]
extern "C" fn connectionMade(_conn: i32) {}

#[no_mangle]
extern "C" fn dataReceived(conn: i32, ptr: *const u8, len: usize) {
    unsafe { write(conn, ptr, len) };
}

#[no_mangle]
extern "C" fn connectionLost(_conn: i32, _reason: i32) {}
