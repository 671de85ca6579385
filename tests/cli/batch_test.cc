// The batch protocol: answers, transactions, errors, escapes, durability.
#include <gtest/gtest.h>

#include <map>

#include "cli/program_support.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

class BatchTest : public ::testing::Test {
 protected:
  std::string batch(std::string_view input) {
    const Answer answer = run_program({"batch", database_, "m"}, input);
    EXPECT_EQ(answer.code, 0) << answer.err;
    return answer.out;
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
};

std::string code_of(const std::string& answer) {
  return answer.substr(0, answer.find('\t', answer.find('\t') + 1));
}

// Goal: every command's answer; database and map are made; the last line needs no newline.
TEST_F(BatchTest, Answers) {
  EXPECT_EQ(batch("get\ta\nput\ta\t1\nget\ta\nput\tb\t\nget\tb\nerase\ta\nerase\ta\nget\ta"),
            "none\nok\nvalue\t1\nok\nvalue\t\nok\nnone\nnone\n");
  EXPECT_EQ(batch("put\t\tempty key\nget\t\nput\tc\t3\nput\td\t4\nrange\t\t\t0\nrange\tc\t\t0\nrange\tb\td\t0\n"
                  "range\t\t\t2\nrange\tx\t\t0\n"),
            "ok\nvalue\tempty key\nok\nok\n"
            "entry\t\tempty key\nentry\tb\t\nentry\tc\t3\nentry\td\t4\nend\t4\n"
            "entry\tc\t3\nentry\td\t4\nend\t2\n"
            "entry\tb\t\nentry\tc\t3\nend\t2\n"
            "entry\t\tempty key\nentry\tb\t\nend\t2\n"
            "end\t0\n");
  EXPECT_EQ(batch(""), "");
}

// Goal: half of a line, as a writer that is killed leaves it, is not taken for the whole.
TEST_F(BatchTest, TheInputEndsWithinALine) {
  EXPECT_EQ(batch("put\ta\t12345\nput\tb\t1\n"), "ok\nok\n");
  EXPECT_EQ(code_of(batch("put\ta\t123")), "error\tinvalid_argument");
  EXPECT_EQ(code_of(batch("erase\tb")), "error\tinvalid_argument");
  const std::string answers = batch("begin\nput\ta\t2\ncommit");
  EXPECT_EQ(code_of(answers.substr(6)), "error\tinvalid_argument");
  EXPECT_EQ(batch("get\ta\nget\tb"), "value\t12345\nvalue\t1\n");
}

// Goal: a transaction sees its own changes, rollback and the end of the input take them back, commit keeps them.
TEST_F(BatchTest, Transactions) {
  EXPECT_EQ(
      batch(
          "put\ta\t1\nbegin\nput\ta\t2\nput\tb\t2\nget\ta\nrange\t\t\t0\nerase\ta\nget\ta\nrollback\nget\ta\nget\tb\n"),
      "ok\nok\nok\nok\nvalue\t2\nentry\ta\t2\nentry\tb\t2\nend\t2\nok\nnone\nok\nvalue\t1\nnone\n");
  EXPECT_EQ(batch("begin\nput\ta\t3\nput\tb\t3\ncommit\nbegin\nput\ta\t4\n"), "ok\nok\nok\nok\nok\nok\n");
  EXPECT_EQ(batch("get\ta\nget\tb\n"), "value\t3\nvalue\t3\n");
}

// Goal: a malformed command is answered as such, changes nothing, and the session and its transaction go on.
TEST_F(BatchTest, Errors) {
  Conversation session({"batch", database_, "m"});
  for (const std::string line :
       {"",           "PUT\ta\t1",  "put",         "put\ta",           "put\ta\t1\t2",    "get",
        "get\ta\tb",  "erase",      "range\ta\tb", "range\ta\tb\tten", "range\ta\tb\t-1", "range\ta\tb\t",
        "begin\tnow", "commit",     "rollback",    "put\ta\t\\q",      "put\ta\t\\x1",    "put\ta\t\\",
        "put a 1",    "put\ta\t1\r"}) {
    EXPECT_EQ(code_of(session.ask(line)), "error\tinvalid_argument") << line;
  }
  EXPECT_EQ(code_of(session.ask(std::string("get\ta\0b", 7))), "error\tinvalid_argument");
  EXPECT_EQ(session.ask("get\ta"), "none");
  EXPECT_EQ(session.ask("begin"), "ok");
  EXPECT_EQ(session.ask("put\ta\t1"), "ok");
  EXPECT_EQ(code_of(session.ask("begin")), "error\tinvalid_argument");
  EXPECT_EQ(code_of(session.ask("put\t" + std::string(1025, 'k') + "\tv")), "error\ttoo_large");
  EXPECT_EQ(session.ask("commit"), "ok");
  EXPECT_EQ(session.ask("get\ta"), "value\t1");
  EXPECT_EQ(session.finish(), 0);
}

// Goal: a line beyond 64 MiB is an error, and what follows it is understood.
TEST_F(BatchTest, OverlongLine) {
  std::string input = "put\tk\t";
  input.append((std::size_t{64} << 20) + 1 - input.size(), 'v');
  input += "\nput\ta\t1\nget\tk\n";
  const std::string answers = batch(input);
  EXPECT_EQ(code_of(answers), "error\tinvalid_argument");
  EXPECT_TRUE(answers.ends_with("\nok\nnone\n")) << answers;
}

// Goal: commands are answered before the next is read, and an answered change survives a crash of the process;
// an uncommitted one does not.
TEST_F(BatchTest, AnsweredMeansDurable) {
  {
    Conversation session({"batch", database_, "m"});
    for (int i = 0; i < 20; ++i) ASSERT_EQ(session.ask("put\tk" + std::to_string(i) + "\tv"), "ok");
    ASSERT_EQ(session.ask("begin"), "ok");
    ASSERT_EQ(session.ask("put\topen\tv"), "ok");
    session.kill();
  }
  Conversation session({"batch", database_, "m"});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(session.ask("get\tk" + std::to_string(i)), "value\tv");
  EXPECT_EQ(session.ask("get\topen"), "none");
  EXPECT_EQ(session.finish(), 0);
}

// Goal: a relaxed session that ends well loses nothing.
TEST_F(BatchTest, Relaxed) {
  EXPECT_EQ(run_program({"batch", database_, "m", "--relaxed"}, "put\ta\t1\nbegin\nput\tb\t2\ncommit\n").out,
            "ok\nok\nok\nok\n");
  EXPECT_EQ(batch("get\ta\nget\tb\n"), "value\t1\nvalue\t2\n");
}

// Goal: random commands on random bytes answer as a std::map does, transactions included.
TEST_F(BatchTest, RandomAgainstModel) {
  TestRandom random;
  using Model = std::map<std::string, std::string>;
  Model committed;
  Model model;
  bool open = false;
  std::vector<std::string> pool;
  for (int i = 0; i < 40; ++i) pool.push_back(random.bytes(random.uniform(40)));
  const auto escaped = [&](const std::string& bytes) {
    return random.one_in(2) ? escape_all(bytes) : escape_least(bytes);
  };
  Conversation session({"batch", database_, "m"});
  for (std::uint64_t round = 0; round < scaled(1500); ++round) {
    const std::string& key = pool[random.uniform(pool.size())];
    const auto found = model.find(key);
    switch (random.uniform(6)) {
      case 0:
      case 1: {
        const std::string value = random.bytes(random.uniform(random.one_in(20) ? 6000 : 50));
        ASSERT_EQ(session.ask("put\t" + escaped(key) + "\t" + escaped(value)), "ok");
        model[key] = value;
        break;
      }
      case 2:
        ASSERT_EQ(session.ask("erase\t" + escaped(key)), found != model.end() ? "ok" : "none");
        model.erase(key);
        break;
      case 3: {
        const std::string answer = session.ask("get\t" + escaped(key));
        ASSERT_EQ(unescape_text(answer), found != model.end() ? "value\t" + found->second : "none");
        break;
      }
      case 4: {
        std::string line = session.ask("range\t" + escaped(key) + "\t\t5");
        std::uint64_t count = 0;
        for (auto it = model.lower_bound(key); it != model.end() && count < 5; ++it, ++count) {
          ASSERT_EQ(unescape_text(line), "entry\t" + it->first + "\t" + it->second);
          line = session.read_line();
        }
        ASSERT_EQ(line, "end\t" + std::to_string(count));
        break;
      }
      case 5: {
        if (random.one_in(3)) break;  // longer transactions
        const bool commit = random.one_in(2);
        ASSERT_EQ(session.ask(!open ? "begin" : commit ? "commit" : "rollback"), "ok");
        if (!open || commit) committed = model;
        if (open && !commit) model = committed;
        open = !open;
        break;
      }
    }
    if (!open) committed = model;
  }
  EXPECT_EQ(session.finish(), 0);
  const std::string all = batch("range\t\t\t0\n");
  std::size_t at = 0;
  for (const auto& [key, value] : committed) {
    const std::size_t end = all.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    EXPECT_EQ(unescape_text(all.substr(at, end - at)), "entry\t" + key + "\t" + value);
    at = end + 1;
  }
  EXPECT_EQ(all.substr(at), "end\t" + std::to_string(committed.size()) + "\n");
}

}  // namespace
}  // namespace vaultgres
