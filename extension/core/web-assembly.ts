/** Subset of `WebAssembly.Memory` that is used. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  /** Grows by pages of 64 KiB. Views of the previous buffer become detached. */
  readonly grow: (pages: number) => number;
}

/** The part of WebAssembly that is used here; Node's types leave it out. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
}

/** Compiles a module that imports nothing; what it returns makes instances and gives their exports. */
export function wasmModule(base64: string): () => object {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi })
    .WebAssembly;
  const module = new Module(Buffer.from(base64, 'base64'));
  return () => new Instance(module).exports;
}
