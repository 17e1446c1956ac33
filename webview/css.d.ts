/** Stylesheets are imported for esbuild, which writes them next to the script. */
declare module '*.css';
