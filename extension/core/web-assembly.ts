/** What is used of a module's memory. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  /** By pages of 64 KiB; what was seen of the buffer before is gone then. */
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
