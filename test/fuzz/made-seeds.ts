import { gzipSync } from 'node:zlib';

/** Tables with numbers, quoted texts and labels. */
export const tableSeeds: readonly Buffer[] = [
  'a,b,label\n1,2.5,cat\n-3e4,0,dog\n7,8,cat\n',
  'text,label\n"one, two",0\n"three ""four""",1\r\nfive,0\n',
].map((table) => Buffer.from(table));

/** Templates with everything that published ones have. */
export const templateSeeds: readonly Buffer[] = [
  "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}",
  "{% set ns = namespace(first=true) %}{% for m in messages if m.role != 'tool' %}{% if loop.first and ns.first %}{% set ns.first = false %}{{ bos_token }}{% elif loop.index0 % 2 == 0 %}{{ raise_exception('turns') }}{% else %}{{ m.content | upper }}{% endif %}{% endfor %}",
  "{% macro show(x, y=1) %}{{ x ~ y }}{% endmacro %}{% for i in range(3) %}{{ show(i) }}{{ messages[0]['content'][::-1] }}{{ messages | tojson(indent=2) }}{% endfor %}{{ '%s' | format(1) if messages is defined else none }}",
].map((template) => Buffer.from(template));

/** Four images of 2 × 3, and their labels, as MNIST has them. */
const images = Buffer.from([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 3, ...Array(24).keys()]);
export const idxSeeds: readonly Buffer[] = [images];
export const idxGzipSeeds: readonly Buffer[] = [gzipSync(images)];
export const idxLabels = Buffer.from([0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 0, 1]);
