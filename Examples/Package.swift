// swift-tools-version: 6.3
import PackageDescription

// A package of its own: it sees what any user of the library sees.
let package = Package(
  name: "examples",
  dependencies: [.package(name: "rilq", path: "..")],
  targets: [
    .executableTarget(
      name: "library-tour",
      dependencies: [
        .product(name: "Checkpoints", package: "rilq"), .product(name: "Models", package: "rilq"),
        .product(name: "Passes", package: "rilq"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
