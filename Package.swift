// swift-tools-version: 6.3
import PackageDescription

let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  // Views of matrices are returned by properties and subscripts.
  .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
  name: "rilq",
  products: [
    .library(name: "Kernels", targets: ["Kernels"]),
    .library(name: "Checkpoints", targets: ["Checkpoints"]),
    .library(name: "Models", targets: ["Models"]),
    .library(name: "Passes", targets: ["Passes"]),
    .executable(name: "rilq", targets: ["rilq"]),
  ],
  traits: [
    .trait(
      name: "MPI",
      description: "Let several processes share the work; needs Open MPI, see Guides/clusters.md.")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-serial-dev"])]),
    .systemLibrary(name: "CSystem"),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(
      name: "CKernels",
      cSettings: [.unsafeFlags(["-O2"], .when(configuration: .debug))]),
    .target(
      name: "Kernels", dependencies: ["CKernels", "COpenBLAS"], swiftSettings: strict),
    .target(
      name: "Checkpoints",
      dependencies: ["Kernels", "CCrypto", "CSystem", "CZlib", "CZstd"],
      swiftSettings: strict),
    .target(name: "Models", dependencies: ["Checkpoints", "Kernels"], swiftSettings: strict),
    .target(
      name: "Passes",
      dependencies: ["Checkpoints", "Kernels", "Models", .product(name: "Yams", package: "Yams")],
      swiftSettings: strict),
    // Empty without the trait.
    .target(
      name: "Cluster",
      dependencies: ["Kernels", .target(name: "CMPI", condition: .when(traits: ["MPI"]))],
      swiftSettings: strict),
    // Pages, model cards and receipts, made from the results of runs; nothing here runs a pass.
    .target(
      name: "Reports",
      dependencies: ["Checkpoints", "Kernels", "Models", "Passes", .product(name: "Yams", package: "Yams")],
      swiftSettings: strict),
    // What `--recipe` names; a recipe is embedded from the file that everybody can run.
    .target(
      name: "Recipes", path: "Recipes",
      exclude: ["smollm2-affine.yaml", "smollm2-dense.yaml", "tiny-best.yaml", "tiny-demo.yaml"],
      resources: ["fast", "balanced", "best"].map { .embedInCode("\($0).yaml") }, swiftSettings: strict),
    .executableTarget(
      name: "rilq",
      dependencies: [
        "Checkpoints", "Kernels", "Models", "Passes", "Recipes", "Reports",
        .target(name: "Cluster", condition: .when(traits: ["MPI"])),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),

    .target(
      name: "TestSupport", dependencies: ["Checkpoints", "Kernels", "Models", "Passes"],
      path: "Tests/TestSupport", swiftSettings: strict),
    .testTarget(name: "KernelsTests", dependencies: ["COpenBLAS", "Kernels", "TestSupport"]),
    .testTarget(name: "CheckpointsTests", dependencies: ["Checkpoints", "TestSupport"]),
    .testTarget(name: "ModelsTests", dependencies: ["Models", "TestSupport"]),
    .testTarget(name: "PassesTests", dependencies: ["Passes", "TestSupport"]),
    .testTarget(
      name: "ReportsTests",
      dependencies: ["Reports", "TestSupport", .product(name: "Yams", package: "Yams")]),
    .testTarget(
      name: "CommandTests", dependencies: ["rilq", "Kernels", "TestSupport"], exclude: ["Snapshots"]),
  ],
  swiftLanguageModes: [.v6]
)

// Scripts/fuzz.sh asks for the programs that libFuzzer drives; an ordinary build has none of them.
if Context.environment["RILQ_FUZZ"] != nil {
  package.targets += [
    .target(
      name: "FuzzEntry", dependencies: ["TestSupport"], path: "Fuzz/Entry", swiftSettings: strict),
    .executableTarget(name: "rilq-fuzz", dependencies: ["FuzzEntry"], path: "Fuzz/Main"),
  ]
}

// Benchmarks/linear-algebra.sh asks for the program that it compares with OpenBLAS.
if Context.environment["RILQ_BENCHMARKS"] != nil {
  package.targets.append(
    .executableTarget(
      name: "rilq-linear-algebra", dependencies: ["Kernels"], path: "Benchmarks/LinearAlgebra",
      exclude: ["openblas.c"]))
}
