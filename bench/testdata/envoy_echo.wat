;; A network filter for Envoy (Proxy-Wasm ABI 0.2.1): takes what comes from the
;; client into its own memory and puts it back. Envoy's own echo filter behind
;; it sends it: a Proxy-Wasm filter can't write to its client.
(module
  (import "env" "proxy_get_buffer_bytes" (func $getBufferBytes (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes" (func $setBufferBytes (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 33)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  ;; One range is enough: it is used before the next one is asked for.
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_new_connection") (param i32) (result i32) (i32.const 0))
  (func (export "proxy_on_downstream_data") (param $context i32) (param $n i32) (param $end i32) (result i32)
    ;; 2 is the buffer of the downstream's data; 8 and 12 take pointer and size.
    (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
    (if (call $getBufferBytes (i32.const 2) (i32.const 0) (local.get $n) (i32.const 8) (i32.const 12)) (then unreachable))
    (if (call $setBufferBytes (i32.const 2) (i32.const 0) (local.get $n) (i32.load (i32.const 8)) (i32.load (i32.const 12))) (then unreachable))
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_delete") (param i32)))
