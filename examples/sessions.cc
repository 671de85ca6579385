// Opens a database, puts, gets, scans and moves an amount in a transaction.
//
//   sessions DIRECTORY
#include <iostream>
#include <string>

#include "vaultgres/database.h"

namespace {

int report(const vaultgres::Error& error) {
  std::cerr << "sessions: " << error.message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: sessions DIRECTORY\n";
    return 1;
  }
  auto db = vaultgres::Database::open(argv[1]);
  if (!db) return report(db.error());
  auto accounts = db->open_or_create_map("accounts");
  if (!accounts) return report(accounts.error());

  if (auto put = accounts->put("alice", "100"); !put) return report(put.error());  // durable when it returns
  if (auto put = accounts->put("bob", "20"); !put) return report(put.error());

  auto txn = db->begin();
  if (!txn) return report(txn.error());
  auto alice = accounts->get(*txn, "alice");
  auto bob = accounts->get(*txn, "bob");
  if (!alice) return report(alice.error());
  if (!bob) return report(bob.error());
  if (auto put = accounts->put(*txn, "alice", std::to_string(std::stoi(**alice) - 30)); !put)
    return report(put.error());
  if (auto put = accounts->put(*txn, "bob", std::to_string(std::stoi(**bob) + 30)); !put) return report(put.error());
  if (auto done = txn->commit(); !done) return report(done.error());

  auto cursor = accounts->cursor();
  for (auto more = cursor.next();; more = cursor.next()) {
    if (!more) return report(more.error());
    if (!*more) break;
    std::cout << cursor.key() << " has " << cursor.value() << "\n";
  }
  return 0;
}
