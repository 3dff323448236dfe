// SPDX-License-Identifier: MIT
export { Container, type CreateOptions, type ForkOptions, type RunOptions, type StartOptions } from './container.ts'
export { type AttachmentEnd, ContainerAttachment, type ContainerAttachOptions } from './container-attach.ts'
export type { ContainerChangesOptions, ContainerCommitOptions, LayerChange } from './container-commit.ts'
export type {
  ContainerCopyInOptions,
  ContainerCopyOutOptions,
  ContainerDirectoryEntry,
  ContainerFileOptions,
  ContainerFileStatus,
  ContainerFileType,
  ContainerMkdirOptions,
  ContainerReadOptions,
  ContainerRmOptions,
  ContainerStatOptions,
  ContainerWriteOptions,
  CopyOutcome,
} from './container-files.ts'
export type {
  ContainerExit,
  ContainerInspection,
  ContainerListOptions,
  ContainerLogOptions,
  ContainerPruneOptions,
  ContainerRemoveOptions,
  ContainerStopOptions,
  ContainerWaitOptions,
} from './container-management.ts'
export type {
  ContainerProcessList,
  ContainerStats,
  ContainerStatsOptions,
  ContainerStatsStreamOptions,
} from './container-observed.ts'
export { ContainerProcess, type ContainerProcessExit } from './container-process.ts'
export type {
  ConnectTarget,
  ContainerConnectOptions,
  ContainerExposeOptions,
  ExposedServer,
  ExposeHandler,
} from './container-reach.ts'
export type { ContainerSnapshotOptions } from './container-snapshot.ts'
export type { ContainerReadyOptions, ContainerWaitForOptions } from './container-wait.ts'
export type { ContainerCreateOptions, LogOptions } from './containers/create-options.ts'
export type { ContainerFilters } from './containers/filters.ts'
export type { ContainerHealth, HealthLook, HealthStatus } from './containers/health-state.ts'
export type { LogLine } from './containers/log-record.ts'
export type { ContainerMount } from './containers/mounts-of.ts'
export type { ContainerStatus, RecordedOptions } from './containers/record.ts'
export type { RegistryAuth } from './distribution/credentials.ts'
export type { RemoteManifest } from './distribution/manifests.ts'
export type { SearchResult } from './distribution/search.ts'
export { Engine, type EngineOptions, type EnginePruneResult } from './engine.ts'
export type { EngineEventOptions } from './engine-events.ts'
export {
  ConflictError,
  type ContainerEnd,
  ContainerEndedError,
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
export type { EngineEvent, EventType } from './events/event.ts'
export type { EventFilters } from './events/event-filters.ts'
export {
  Image,
  type ImageHistoryEntry,
  type ImageHostOptions,
  type ImageImportOptions,
  type ImageInspection,
  type ImageLayer,
  type ImageLoadOptions,
  type ImageProgress,
  type ImageSourceOptions,
} from './image.ts'
export type {
  ImageListOptions,
  ImagePruneOptions,
  ImagePruneResult,
  ImageRemoveOptions,
  ImageRemoveResult,
  ImageSaveOptions,
} from './image-management.ts'
export type { ImagePullOptions, ImagePushOptions } from './image-transfer.ts'
export type { LayerLimits } from './layer/limits.ts'
export type {
  BindMountOptions,
  ByteQuantity,
  CapabilityOptions,
  ContainerOptions,
  MountOptions,
  OutputOption,
  RunningContainer,
  StdinOption,
  TmpfsMountOptions,
  UlimitOptions,
  VolumeMountOptions,
} from './options/container-options.ts'
export type { ExecDetachedOptions, ExecOptions, RunningProgram, TerminalSize } from './options/exec-options.ts'
export type { HealthOptions } from './options/health-options.ts'
export type { ImageFilters } from './options/image-filters.ts'
export type { NetworkMode } from './options/network-options.ts'
export type { PortOption, PublishedPort } from './options/port-options.ts'
export type { RestartPolicy, RestartPolicyName } from './options/restart-policy.ts'
export type { HttpCondition, WaitCondition } from './options/wait-options.ts'
export {
  Registry,
  type RegistryCallOptions,
  type RegistryOptions,
  type ResolvedReference,
} from './registry.ts'
export type {
  RegistryServerAccess,
  RegistryServerAuthorizer,
  RegistryServerCredentials,
  RegistryServerOptions,
  RegistryServerTokenOptions,
  RegistryServerUpstream,
} from './registry-server/options.ts'
export type { RegistryServer } from './registry-server/registry-server.ts'
export type { RunResult, RunUsage } from './run-result.ts'
export type { EngineFeature, EngineInfo } from './runtime/engine-info.ts'
export type { DiskUsage, UsageEntry } from './store/disk-usage.ts'
export type { StoreFault, VerifyOptions } from './store/verify.ts'
export { Template, type TemplateInspection } from './template.ts'
export type { PullPolicy, PullProgress } from './transfer/pull.ts'
export type { PushedBlob, PushProgress, PushResult } from './transfer/push.ts'
export {
  Volume,
  type VolumeCreateOptions,
  type VolumeInspection,
  type VolumeListOptions,
  type VolumePruneOptions,
  type VolumeRemoveOptions,
} from './volume.ts'
export type { VolumeFilters } from './volumes/volume-filters.ts'
