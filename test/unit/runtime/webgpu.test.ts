// A software GPU compiles each shader again in each process, so all its tests share one.
import './webgpu/states';
import './webgpu/buffers';
import './webgpu/randomized-svd';
