#pragma once

#include <functional>
#include <span>

#include "store/archive/guard.h"
#include "store/archive/tar_reader.h"
#include "store/archive/tar_writer.h"
#include "store/base/result.h"
#include "store/codecs/codec.h"

// What the codecs that carry a tree in a tar have in common.
namespace hitfs {

// Passes the member that `tar` has just given through the guard and on to the sink, with its bytes.
Status unpack_member(TarReader& tar, const TarMember& member, Guard& guard, TreeSink& into);

// Copies a content and checks on the way that it has the size, and the digest where there is one: damaged bytes here
// must not become a good artifact elsewhere. `write(bytes)` takes the pieces.
Status copy_content(ContentSource& contents, const Content& content, uint64_t size,
                    const std::function<Status(std::span<const std::byte>)>& write);

// Writes everything below the root of `tree`, in the order of the manifest (a directory before what it holds), modes
// through `mode_of`. What the guard refuses is `invalid_argument` here.
Status pack_members(const ManifestView& tree, ContentSource& contents, Guard& guard, TarWriter& tar,
                    uint16_t (*mode_of)(const ManifestRecord&));

}  // namespace hitfs
