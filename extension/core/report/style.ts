/** Colours differ in lightness too (Okabe and Ito's), and lines in dash. */
export const style = `
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --page: #0d1117; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; } dt { color: var(--soft); } dd { margin: 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid var(--line); } th { color: var(--soft); font-weight: 600; }
td { overflow-wrap: anywhere; } td:first-child { overflow-wrap: break-word; } .number { text-align: right; } td.number { white-space: nowrap; }
figure { margin: 1rem 0; } figcaption, footer { color: var(--soft); font-size: .9rem; }
.heatmap td, .heatmap th { padding: 0; border: 0; text-align: center; font-size: .75rem; }
.heatmap td { min-width: 1.6rem; height: 1.6rem; border: 1px solid var(--page); } .heatmap th[scope=row] { text-align: left; padding-right: .7rem; white-space: nowrap; }
.scale { display: inline-block; width: 8rem; height: .7rem; vertical-align: middle; margin: 0 .4rem; }
.tick, .title { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--line); stroke-width: .5; }
.line { fill: none; stroke: currentColor; stroke-width: 2; } .spread { stroke: currentColor; } circle { fill: currentColor; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .3rem 0; } .legend svg { width: 28px; height: 8px; margin-right: .4rem; }
.series-0 { color: #0072b2; } .series-1 { color: #c4500a; } .series-2 { color: #007a59; } .series-3 { color: #8250df; } .series-4 { color: #8a6100; } .series-5 { color: #59636e; }
@media (prefers-color-scheme: dark) { .series-0 { color: #56b4e9; } .series-1 { color: #f08c4b; } .series-2 { color: #3fcf9f; } .series-3 { color: #b392f0; } .series-4 { color: #e8c35a; } .series-5 { color: #9198a1; } }
.series-1 .line, .line.series-1 { stroke-dasharray: 8 4; } .series-2 .line, .line.series-2 { stroke-dasharray: 2 3; } .series-3 .line, .line.series-3 { stroke-dasharray: 9 3 2 3; } .series-4 .line, .line.series-4 { stroke-dasharray: 4 4; } .series-5 .line, .line.series-5 { stroke-dasharray: 1 2; }
@media print { body { margin: 0; max-width: none; } details { display: block; } }
`;
