{
  "variables": {
    # One list of sources for node-gyp and CMake.
    "addon_sources": ["<!@(sed -e s,^,native/, native/sources.txt)"],
    "launcher_inputs": ["<!@(ls native/*.h)", "<!@(sed -e s,^,native/, native/launcher-sources.txt)"]
  },
  "target_defaults": {
    "cflags": ["-Wall", "-Wextra", "-Werror"],
    "cflags_cc": ["-std=c++17"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-std=gnu++1y"]
  },
  "targets": [
    {
      "target_name": "launcher",
      "type": "none",
      "actions": [
        {
          "action_name": "build_launcher",
          "message": "Building the launcher",
          "inputs": ["scripts/build-launcher.sh", "native/launcher-sources.txt", "<@(launcher_inputs)"],
          # The launcher itself lies beside it; one output keeps incremental builds incremental.
          "outputs": ["<(SHARED_INTERMEDIATE_DIR)/launcher_blob.S"],
          "action": ["sh", "scripts/build-launcher.sh", "<(SHARED_INTERMEDIATE_DIR)"]
        }
      ]
    },
    {
      "target_name": "wherry",
      "dependencies": ["launcher", "<!(node -p \"require('node-addon-api').targets\"):node_addon_api"],
      "sources": ["<@(addon_sources)", "<(SHARED_INTERMEDIATE_DIR)/launcher_blob.S"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags": ["-fvisibility=hidden"],
      "ldflags": ["-Wl,-z,relro,-z,now,-z,noexecstack"]
    }
  ]
}
