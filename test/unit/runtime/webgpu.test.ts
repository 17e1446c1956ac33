// A GPU in software compiles each shader anew in each process: all tests of it share one.
import './webgpu/states';
import './webgpu/buffers';
import './webgpu/randomized-svd';
