#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hitfs::testing {

// System calls written down, one on a line, to be made in one folder or another:
//
//   open A f creat,excl,rw 0644    pwrite A 0 hello    pread A 0 10    ftruncate A 3    fsync A    fstat A    close A
//   mkdir d 0755    rmdir d    unlink f    symlink target s    readlink s    link f g    mkfifo p    mksocket s
//   rename a b    rename a b noreplace    chmod f 0600    chown f 1 1    truncate f 9    utimens f 1000000000
//   stat f    lstat f    mtime f    bytes f    names d    access f rw    umask 027    setxattr f    getxattr f
//   recent f     its mtime is later than 2020        ctime f      whether that is the mtime
//   fallocate A 0 10    lseek A data 0    mmap A 10    statfs    flock A
//
// Paths are below the folder; @255 in one is a name of 255 letters, @deep one of more than PATH_MAX bytes. "=> RESULT"
// behind a call says that a mount answers RESULT by promise, where another file system may answer something else.
struct Call {
  std::string words;
  std::optional<std::string> promised{};
};
[[nodiscard]] std::vector<Call> parse_calls(const std::string& text);

// Makes the calls in `folder`, in a process of its own (as `user`, where that is not 0), and gives what each one ended
// with: "ok", a value, or the name of the errno. Fewer than asked for when that process died or hung.
[[nodiscard]] std::vector<std::string> make_calls(const std::filesystem::path& folder, const std::vector<Call>& calls,
                                                  uid_t user = 0);

}  // namespace hitfs::testing
