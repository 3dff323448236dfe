// SPDX-License-Identifier: MIT
export { Container, type RunOptions } from './container.ts'
export { Engine, type EngineOptions } from './engine.ts'
export {
  ConflictError,
  ContainerStartError,
  ContainerStateError,
  ExitError,
  IntegrityError,
  InvalidOptionError,
  InvalidReferenceError,
  LayerError,
  NotFoundError,
  PlatformError,
  RegistryAuthError,
  type RegistryDiagnostic,
  RegistryError,
  SyscallError,
  TimeoutError,
  UnsupportedHostError,
  UnsupportedImageError,
  WherryError,
} from './errors.ts'
export {
  Image,
  type ImageHistoryEntry,
  type ImageHostOptions,
  type ImageImportOptions,
  type ImageInspection,
  type ImageLayer,
  type ImageLoadOptions,
  type ImageProgress,
} from './image.ts'
export type {
  BindMountOptions,
  ByteQuantity,
  CapabilityOptions,
  ContainerOptions,
  MountOptions,
  OutputOption,
  StdinOption,
  TmpfsMountOptions,
  UlimitOptions,
} from './options/container-options.ts'
export type { RunResult, RunUsage } from './run-result.ts'
export type { EngineFeature, EngineInfo } from './runtime/engine-info.ts'
